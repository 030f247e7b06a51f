# Part of covalent-parallel-plugin: the identity of the jobs' machines, and who may do what. docs/how-to/deploy.md says why.

locals {
  # Through the resource, where there is one, so that nothing is granted before it is there
  bucket = var.create_bucket ? google_storage_bucket.calls[0].name : local.bucket_name

  dispatchers = toset(var.dispatcher_members)

  # People's credentials name a project that pays for requests, and need leave to; service accounts' name none
  people = toset([for member in var.dispatcher_members : member if !startswith(member, "serviceAccount:")])
}

resource "google_service_account" "jobs" {
  project      = var.project_id
  account_id   = "${var.name}-jobs"
  display_name = "Covalent's jobs on Google Batch"
  description  = "Identity of the machines that run Covalent's electrons"

  depends_on = [google_project_service.needed]
}

# The jobs' machines

resource "google_project_iam_member" "jobs_agent_reporter" {
  project = var.project_id
  role    = "roles/batch.agentReporter"
  member  = google_service_account.jobs.member
}

resource "google_project_iam_member" "jobs_log_writer" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.jobs.member
}

resource "google_artifact_registry_repository_iam_member" "jobs_image_reader" {
  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.jobs.member
}

resource "google_storage_bucket_iam_member" "jobs_object_creator" {
  bucket = local.bucket
  role   = "roles/storage.objectCreator"
  member = google_service_account.jobs.member
}

resource "google_storage_bucket_iam_member" "jobs_object_viewer" {
  bucket = local.bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.jobs.member
}

resource "google_secret_manager_secret_iam_member" "jobs_secret_accessor" {
  for_each = toset(var.secrets)

  project   = startswith(each.key, "projects/") ? split("/", each.key)[1] : var.project_id
  secret_id = reverse(split("/", each.key))[0]
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.jobs.member

  depends_on = [google_project_service.needed]
}

# Those who run Covalent servers

resource "google_storage_bucket_iam_member" "dispatchers_object_user" {
  for_each = local.dispatchers

  bucket = local.bucket
  role   = "roles/storage.objectUser"
  member = each.key
}

resource "google_project_iam_member" "dispatchers_jobs_editor" {
  for_each = local.dispatchers

  project = var.project_id
  role    = "roles/batch.jobsEditor"
  member  = each.key

  depends_on = [google_project_service.needed]
}

resource "google_service_account_iam_member" "dispatchers_service_account_user" {
  for_each = local.dispatchers

  service_account_id = google_service_account.jobs.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.key
}

resource "google_project_iam_member" "dispatchers_log_viewer" {
  for_each = local.dispatchers

  project = var.project_id
  role    = "roles/logging.viewer"
  member  = each.key

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "dispatchers_service_usage" {
  for_each = local.people

  project = var.project_id
  role    = "roles/serviceusage.serviceUsageConsumer"
  member  = each.key

  depends_on = [google_project_service.needed]
}

# Those who push images

resource "google_artifact_registry_repository_iam_member" "publishers_image_writer" {
  for_each = toset(var.image_publishers)

  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = each.key
}
