# Part of covalent-parallel-plugin: the APIs, the bucket and the images' repository.

locals {
  # A project of a domain is called example.com:project; neither ':' nor a domain's dots may be in the bucket's name
  default_bucket_name = "${var.name}-${replace(var.project_id, "/[:.]/", "-")}"
  bucket_name         = var.bucket_name == "" ? local.default_bucket_name : var.bucket_name
  repository_path     = "${var.region}-docker.pkg.dev/${replace(var.project_id, ":", "/")}/${var.name}"

  services = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "batch.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "compute.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "storage.googleapis.com",
    ],
    length(var.secrets) > 0 ? ["secretmanager.googleapis.com"] : [],
  ))

  # Calls and outcomes. The runner's archives have a prefix of their own, covalent-parallel-runner/: they are put there
  # once and counted on by running servers.
  call_prefixes = ["covalent-parallel/"]
}

resource "google_project_service" "needed" {
  for_each = local.services

  project = var.project_id
  service = each.key
  # Others in the project may use them
  disable_on_destroy = false
}

resource "google_storage_bucket" "calls" {
  count = var.create_bucket ? 1 : 0

  project                     = var.project_id
  name                        = local.bucket_name
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = var.object_days
      matches_prefix = local.call_prefixes
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = var.cache_days
      matches_prefix = ["covalent-parallel-cache/"]
    }
  }

  lifecycle {
    precondition {
      condition     = length(local.bucket_name) <= 63 && !can(regex("google|^goog", local.bucket_name))
      error_message = "No bucket can be called ${local.bucket_name}: set bucket_name."
    }
  }

  depends_on = [google_project_service.needed]
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = var.name
  description   = "Images that Covalent's electrons run in"
  format        = "DOCKER"

  depends_on = [google_project_service.needed]
}
