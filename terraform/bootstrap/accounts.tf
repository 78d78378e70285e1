locals {
  # What Daybook runs as. The environment's module looks them up by these names.
  accounts = {
    build     = "Daybook: builds the functions"
    ledger    = "Daybook: the ledger runs as this"
    run       = "Daybook: the function runs as this, and writes to Drive"
    scheduler = "Daybook: Cloud Scheduler calls as this"
    tasks     = "Daybook: Cloud Tasks calls as this"
  }

  # Whose own policies the module writes: who may name the tasks' account in a task, and with
  # drive_subject who may sign as the function's.
  accounts_with_grants = ["run", "tasks"]
}

# Here and not in the environment, so that the deployer needs rights on these accounts alone: a
# condition cannot name a service account, and without one a role on the project applies to
# every account in it.
# https://cloud.google.com/iam/docs/conditions-resource-attributes
resource "google_service_account" "daybook" {
  for_each = local.accounts

  project      = var.project_id
  account_id   = "${var.name}-${each.key}"
  display_name = each.value
  # The environment made them before the bootstrap did.
  create_ignore_already_exists = true

  depends_on = [google_project_service.default]
}

resource "google_service_account_iam_member" "deployer_acts" {
  for_each = google_service_account.daybook

  service_account_id = each.value.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer.member
}

resource "google_service_account_iam_member" "deployer_grants" {
  for_each = toset(local.accounts_with_grants)

  service_account_id = google_service_account.daybook[each.value].name
  role               = "roles/iam.serviceAccountAdmin"
  member             = google_service_account.deployer.member
}
