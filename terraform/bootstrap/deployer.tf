locals {
  # For what the environments' modules create.
  deployer_roles = [
    "roles/artifactregistry.admin",
    "roles/cloudbuild.builds.viewer",
    "roles/cloudfunctions.developer",
    "roles/cloudscheduler.admin",
    "roles/cloudtasks.queueAdmin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/iap.admin",
    "roles/logging.configWriter",
    "roles/logging.logWriter",
    "roles/logging.viewer",
    "roles/monitoring.editor",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
  ]

  # The roles that the modules grant on the project. The deployer can grant no other, to
  # nobody, itself included.
  grantable_roles = [
    "roles/cloudscheduler.jobRunner",
    "roles/cloudscheduler.viewer",
    "roles/logging.logWriter",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/storage.objectViewer",
  ]
}

resource "google_service_account" "deployer" {
  project      = var.project_id
  account_id   = "${var.name}-deployer"
  display_name = "Daybook: applies Terraform"

  depends_on = [google_project_service.default]
}

resource "google_project_iam_member" "deployer" {
  for_each = toset(local.deployer_roles)

  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer.member
}

# Buckets and what is in them, but for the state's: there it has the rights in state.tf and cannot
# give itself more, such as to write a plan.
resource "google_project_iam_member" "deployer_storage" {
  project = var.project_id
  role    = "roles/storage.admin"
  member  = google_service_account.deployer.member

  condition {
    title      = "not the state"
    expression = "resource.name != '${local.state_bucket}' && !resource.name.startsWith('${local.state_bucket}/')"
  }
}

# https://cloud.google.com/iam/docs/setting-limits-on-granting-roles
resource "google_project_iam_member" "deployer_grants" {
  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.deployer.member

  condition {
    title      = "only what Daybook needs"
    expression = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in local.grantable_roles : "'${role}'"])}])"
  }
}

# A query that all can see: of the predefined roles only Logging Admin may save one, which
# may also read private logs and delete logs.
resource "google_project_iam_custom_role" "shared_queries" {
  project     = var.project_id
  role_id     = "${replace(var.name, "-", "_")}_shared_queries"
  title       = "Daybook: saves queries that all can see"
  description = "For the deployer"
  permissions = [
    "logging.queries.deleteShared",
    "logging.queries.getShared",
    "logging.queries.listShared",
    "logging.queries.share",
    "logging.queries.updateShared",
  ]

  depends_on = [google_project_service.default]
}

resource "google_project_iam_member" "shared_queries" {
  project = var.project_id
  role    = google_project_iam_custom_role.shared_queries.name
  member  = google_service_account.deployer.member
}
