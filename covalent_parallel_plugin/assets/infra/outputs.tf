# Part of covalent-parallel-plugin: the executor's options under their names; null where there is nothing to say.

output "project_id" {
  description = "Google Cloud project that runs and pays"
  value       = var.project_id
}

output "region" {
  description = "Region of the jobs"
  value       = var.region
}

output "bucket_name" {
  description = "Bucket that holds calls and outcomes on their way"
  value       = local.bucket

  precondition {
    condition     = var.create_bucket || var.bucket_name != ""
    error_message = "create_bucket = false needs bucket_name: the bucket that exists already."
  }
}

output "service_account_email" {
  description = "Identity of the jobs' machines"
  value       = google_service_account.jobs.email
}

output "container_image_uri" {
  description = "Image that jobs run in; null: the stock image"
  value       = var.image == "" ? null : "${local.repository_path}/${var.image}"
}

output "network" {
  description = "Network of the jobs' machines; null: the project's default"
  value       = var.create_network ? google_compute_network.jobs[0].id : null

  precondition {
    condition     = var.create_network || !var.nat
    error_message = "nat = true needs create_network = true: Cloud NAT is for the network made here."
  }
}

output "subnetwork" {
  description = "Subnetwork of the jobs' machines"
  value       = var.create_network ? google_compute_subnetwork.jobs[0].id : null
}

output "external_ip" {
  description = "Whether the machines have addresses on the internet; null: the executor's default, which is yes"
  value       = var.create_network ? false : null
}

# Not an option: where images are pushed to
output "repository" {
  description = "Repository that images are pushed to"
  value       = local.repository_path
}
