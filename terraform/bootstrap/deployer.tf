locals {
  # For what the environments' modules create.
  deployer_roles = [
    "roles/artifactregistry.admin",
    "roles/cloudfunctions.developer",
    "roles/cloudscheduler.admin",
    "roles/cloudtasks.queueAdmin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/logging.configWriter",
    "roles/logging.logWriter",
    "roles/logging.viewer",
    "roles/monitoring.editor",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
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
  display_name = "Daybook: plans and applies Terraform"

  depends_on = [google_project_service.default]
}

resource "google_project_iam_member" "deployer" {
  for_each = toset(local.deployer_roles)

  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer.member
}

resource "google_project_iam_member" "deployer_accounts" {
  #checkov:skip=CKV_GCP_41:The accounts that it deploys as come into being in the same apply, so no grant on them can stand before; the project is meant for Daybook alone.
  #checkov:skip=CKV_GCP_49:It makes Daybook's accounts and says who may act as them; the roles that it can grant on the project are limited below.
  for_each = toset(["roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountUser"])

  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer.member
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
