# Part of covalent-parallel-plugin: the file from which `covalent deploy up` takes the executor's options.
# `covalent-parallel deploy` reads the outputs instead, and leaves this file out.

locals {
  covalent_options = {
    project_id            = var.project_id
    region                = var.region
    bucket_name           = local.bucket
    service_account_email = google_service_account.jobs.email
    container_image_uri   = var.image == "" ? null : "${local.repository_path}/${var.image}"
    network               = var.create_network ? google_compute_network.jobs[0].id : null
    subnetwork            = var.create_network ? google_compute_subnetwork.jobs[0].id : null
    external_ip           = var.create_network ? "False" : null
  }

  covalent_conf = join("\n", concat(
    ["[gcpbatch]"],
    [for name, value in local.covalent_options : "${name} = ${value}" if value != null],
    [""],
  ))
}

resource "terraform_data" "covalent_conf" {
  triggers_replace = local.covalent_conf

  # Terraform's own means, so that no second provider is needed for one small file
  provisioner "local-exec" {
    command = "printf '%s' \"$CONTENT\" > \"$FILE\""

    environment = {
      CONTENT = local.covalent_conf
      FILE    = "${path.module}/gcpbatch.conf"
    }
  }
}
