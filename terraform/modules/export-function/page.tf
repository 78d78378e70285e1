# The status page in a browser, without gcloud: a load balancer with Identity-Aware Proxy, which
# signs people in and calls the function as its own account. The function takes the user whom
# the proxy names for the caller, and compares that with DAYBOOK_CALLERS.

locals {
  page_url     = var.page_domain == null ? var.page_url : coalesce(var.page_url, "https://${var.page_domain}")
  page_enabled = var.page_domain == null ? 0 : 1

  # https://cloud.google.com/iap/docs/enabling-cloud-run
  iap_member = "serviceAccount:service-${data.google_project.default.number}@gcp-sa-iap.iam.gserviceaccount.com"
}

resource "google_compute_global_address" "page" {
  count = local.page_enabled

  project     = var.project_id
  name        = "${var.name}-page"
  description = "Where ${coalesce(var.page_domain, "the status page")} has to lead"

  depends_on = [google_project_service.default]
}

resource "google_compute_managed_ssl_certificate" "page" {
  count = local.page_enabled

  project = var.project_id
  name    = "${var.name}-page"

  managed {
    domains = [var.page_domain]
  }

  depends_on = [google_project_service.default]
}

resource "google_compute_region_network_endpoint_group" "page" {
  count = local.page_enabled

  project               = var.project_id
  region                = var.region
  name                  = "${var.name}-page"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = google_cloudfunctions2_function.default.name
  }
}

resource "google_compute_backend_service" "page" {
  count = local.page_enabled

  project               = var.project_id
  name                  = "${var.name}-page"
  description           = "The status page, behind Identity-Aware Proxy"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"

  backend {
    group = google_compute_region_network_endpoint_group.page[0].id
  }

  iap {
    enabled = true
  }

  # Whom the proxy turns away never reaches the function, and so is not in its log.
  log_config {
    enable      = true
    sample_rate = 1
  }
}

resource "google_compute_url_map" "page" {
  count = local.page_enabled

  project         = var.project_id
  name            = "${var.name}-page"
  default_service = google_compute_backend_service.page[0].id
}

resource "google_compute_target_https_proxy" "page" {
  count = local.page_enabled

  project          = var.project_id
  name             = "${var.name}-page"
  url_map          = google_compute_url_map.page[0].id
  ssl_certificates = [google_compute_managed_ssl_certificate.page[0].id]
  ssl_policy       = google_compute_ssl_policy.page[0].id
}

# Without one the load balancer also speaks TLS 1.0.
resource "google_compute_ssl_policy" "page" {
  count = local.page_enabled

  project         = var.project_id
  name            = "${var.name}-page"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.default]
}

resource "google_compute_global_forwarding_rule" "page" {
  count = local.page_enabled

  project               = var.project_id
  name                  = "${var.name}-page"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.page[0].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.page[0].id
}

# Whom the proxy lets in; what they may do is DAYBOOK_CALLERS'.
resource "google_iap_web_backend_service_iam_member" "page" {
  for_each = var.page_domain == null ? {} : merge(local.operator_members, local.page_members)

  project             = var.project_id
  web_backend_service = google_compute_backend_service.page[0].name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

resource "google_cloud_run_v2_service_iam_member" "page" {
  count = local.page_enabled

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.default.name
  role     = "roles/run.invoker"
  member   = local.iap_member
}
