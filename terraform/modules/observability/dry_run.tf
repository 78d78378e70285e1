# Paused: for an operator who wants to know what the next run would deliver, and for the check
# after a deployment (ops/smoke.sh). Resumed by mistake, it would run on the first of January
# and write nothing.
resource "google_cloud_scheduler_job" "dry_run" {
  project          = var.project_id
  region           = var.region
  name             = "${var.function_name}-dry-run"
  description      = "By hand: renders what a run would deliver, and writes nothing"
  schedule         = "0 0 1 1 *"
  time_zone        = var.time_zone
  paused           = true
  attempt_deadline = "540s"

  http_target {
    http_method = "POST"
    uri         = "${var.service_url}/run"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ dryRun = true }))

    oidc_token {
      service_account_email = var.scheduler_service_account
      audience              = var.service_url
    }
  }

  retry_config {
    retry_count = 0
  }
}
