# Runs whatever a commit contains, before anybody has looked at it: tests, packages, installers.
resource "google_service_account" "checker" {
  project      = var.project_id
  account_id   = "${var.name}-checker"
  display_name = "Daybook: runs a commit's checks, without rights"

  depends_on = [google_project_service.default]
}

# A build that names its account writes its own log.
resource "google_project_iam_member" "checker" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.checker.member
}
