resource "google_cloudfunctions2_function" "ledger" {
  count = var.ledger_enabled ? 1 : 0

  project     = var.project_id
  location    = var.region
  name        = "${var.name}-ledger"
  description = "Wallets whose movements become journal entries"
  labels      = local.labels

  build_config {
    runtime           = "python313"
    entry_point       = "ledger"
    docker_repository = google_artifact_registry_repository.default.id
    service_account   = "projects/${var.project_id}/serviceAccounts/${local.emails.build}"

    environment_variables = local.build_environment

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = local.emails.ledger
    ingress_settings                 = var.ingress
    available_cpu                    = var.function.cpu
    available_memory                 = var.function.memory
    timeout_seconds                  = 60
    max_instance_count               = var.function.max_instances
    max_instance_request_concurrency = var.function.concurrency
    environment_variables            = local.ledger_environment
    all_traffic_on_latest_revision   = true
    direct_vpc_egress                = var.static_egress == null ? null : "VPC_EGRESS_ALL_TRAFFIC"

    dynamic "direct_vpc_network_interface" {
      for_each = google_compute_subnetwork.default

      content {
        network    = google_compute_network.default[0].name
        subnetwork = direct_vpc_network_interface.value.name
      }
    }

    secret_environment_variables {
      key        = "DAYBOOK_MONGODB_URI"
      project_id = var.project_id
      secret     = local.secret_versions.DAYBOOK_MONGODB_URI.secret_id
      version    = local.secret_versions.DAYBOOK_MONGODB_URI.version
    }
  }

  depends_on = [time_sleep.propagation]
}
