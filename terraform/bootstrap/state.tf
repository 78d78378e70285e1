resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:The audit log records each access (audit.tf); usage logs would only add a second bucket.
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-state"
  location                    = var.region
  labels                      = { app = "daybook" }
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  versioning {
    enabled = true
  }

  # A state that was overwritten by mistake is noticed within these.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 90
      num_newer_versions         = 20
    }
  }

  # The plans of cloudbuild.yaml: one that nobody approved is stale long before.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 90
      matches_prefix = ["plans/"]
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.default]
}

resource "google_storage_bucket_iam_member" "deployer" {
  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer.member
}
