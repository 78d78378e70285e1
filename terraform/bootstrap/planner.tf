locals {
  # What a plan reads to compare it with the code, and the build's own log. None of them opens
  # a secret, changes anything but that log, or acts as another account. Its rights in the
  # state's bucket are in state.tf.
  planner_roles = [
    "roles/iam.securityReviewer",
    "roles/logging.logWriter",
    "roles/storage.bucketViewer",
    "roles/viewer",
  ]
}

resource "google_service_account" "planner" {
  project      = var.project_id
  account_id   = "${var.name}-planner"
  display_name = "Daybook: plans Terraform, reads only"

  depends_on = [google_project_service.default]
}

resource "google_project_iam_member" "planner" {
  for_each = toset(local.planner_roles)

  project = var.project_id
  role    = each.value
  member  = google_service_account.planner.member
}

# The deployed archive is compared, too.
resource "google_project_iam_member" "planner_source" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.planner.member

  condition {
    title      = "source archives only"
    expression = "resource.name.startsWith('projects/_/buckets/${var.project_id}-${var.name}-source')"
  }
}
