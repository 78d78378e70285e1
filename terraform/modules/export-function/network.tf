resource "google_compute_network" "default" {
  count = var.static_egress == null ? 0 : 1

  project                 = var.project_id
  name                    = var.name
  description             = "Daybook's way out; nothing listens in it"
  auto_create_subnetworks = false

  # As for the subnet, which needs it.
  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.default]
}

# Answers come back all the same: this is about connections that others open.
resource "google_compute_firewall" "default" {
  count = var.static_egress == null ? 0 : 1

  project       = var.project_id
  name          = "${var.name}-deny-ingress"
  description   = "Nothing comes in"
  network       = google_compute_network.default[0].id
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_subnetwork" "default" {
  count = var.static_egress == null ? 0 : 1

  project                  = var.project_id
  region                   = var.region
  name                     = var.name
  network                  = google_compute_network.default[0].id
  ip_cidr_range            = var.static_egress.subnet_cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }

  # When static_egress is taken away, the functions have to let go first: otherwise Terraform
  # deletes the subnet before it changes them, and is refused each time.
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_address" "default" {
  count = var.static_egress == null ? 0 : 1

  project     = var.project_id
  region      = var.region
  name        = "${var.name}-egress"
  description = "The address that an allow-list knows"

  depends_on = [google_project_service.default]
}

resource "google_compute_router" "default" {
  count = var.static_egress == null ? 0 : 1

  project = var.project_id
  region  = var.region
  name    = var.name
  network = google_compute_network.default[0].id
}

resource "google_compute_router_nat" "default" {
  count = var.static_egress == null ? 0 : 1

  project                            = var.project_id
  region                             = var.region
  name                               = var.name
  router                             = google_compute_router.default[0].name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [google_compute_address.default[0].self_link]
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.default[0].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
