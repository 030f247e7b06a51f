# Part of covalent-parallel-plugin: a network whose machines have no addresses on the internet (create_network).

resource "google_compute_network" "jobs" {
  count = var.create_network ? 1 : 0

  project                 = var.project_id
  name                    = var.name
  description             = "Machines of Covalent's jobs, which reach Google and nothing else"
  auto_create_subnetworks = false

  depends_on = [google_project_service.needed]
}

resource "google_compute_subnetwork" "jobs" {
  count = var.create_network ? 1 : 0

  project       = var.project_id
  region        = var.region
  name          = var.name
  network       = google_compute_network.jobs[0].id
  ip_cidr_range = var.subnetwork_range
  # The way to Batch, Cloud Storage, Cloud Logging and Artifact Registry without an address on the internet
  private_ip_google_access = true
}

resource "google_compute_router" "jobs" {
  count = var.create_network && var.nat ? 1 : 0

  project = var.project_id
  region  = var.region
  name    = var.name
  network = google_compute_network.jobs[0].id
}

resource "google_compute_router_nat" "jobs" {
  count = var.create_network && var.nat ? 1 : 0

  project                            = var.project_id
  region                             = var.region
  router                             = google_compute_router.jobs[0].name
  name                               = var.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.jobs[0].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
}
