mock_provider "google" {
  override_during = plan
  source          = "./tests/mocks"
}

mock_provider "time" {}

variables {
  function_name             = "daybook"
  ingress                   = "ALLOW_INTERNAL_ONLY"
  job_names                 = { audit = "daybook-audit", batch = "daybook-batch", sweep = "daybook-sweep", watchdog = "daybook-watchdog" }
  notification_emails       = ["operator@example.com"]
  project_id                = "my-project"
  queue_name                = "daybook"
  region                    = "asia-southeast1"
  scheduler_service_account = "daybook-scheduler@my-project.iam.gserviceaccount.com"
  service_url               = "https://daybook-123456789012.asia-southeast1.run.app"
}

run "dry_run_is_made_by_hand_and_delivers_nothing" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.dry_run.paused && google_cloud_scheduler_job.dry_run.retry_config[0].retry_count == 0 && google_cloud_scheduler_job.dry_run.schedule == "0 0 1 1 *" && google_cloud_scheduler_job.dry_run.time_zone == "Asia/Bangkok"
    error_message = "The dry run runs by itself."
  }

  assert {
    condition     = google_cloud_scheduler_job.dry_run.http_target[0].http_method == "POST" && google_cloud_scheduler_job.dry_run.http_target[0].uri == "https://daybook-123456789012.asia-southeast1.run.app/run" && jsondecode(base64decode(google_cloud_scheduler_job.dry_run.http_target[0].body)) == { dryRun = true }
    error_message = "The job would run the batch."
  }

  assert {
    condition     = google_cloud_scheduler_job.dry_run.http_target[0].oidc_token[0].service_account_email == "daybook-scheduler@my-project.iam.gserviceaccount.com" && google_cloud_scheduler_job.dry_run.http_target[0].oidc_token[0].audience == "https://daybook-123456789012.asia-southeast1.run.app"
    error_message = "The call would be turned away."
  }
}
