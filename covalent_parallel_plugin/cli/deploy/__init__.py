"""`covalent-parallel deploy`: make and remove the infrastructure that jobs need, with the user's Terraform or OpenTofu.

The files are in `assets/infra`. They are copied to the user's data folder and run there, so that state is never kept
where packages are installed; the outputs become the executor's options in Covalent's configuration file.
"""
