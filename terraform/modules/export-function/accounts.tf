resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "${var.name}-build"
  display_name = "Daybook: builds the functions"

  depends_on = [google_project_service.default]
}

resource "google_service_account" "ledger" {
  count = var.ledger_enabled ? 1 : 0

  project      = var.project_id
  account_id   = "${var.name}-ledger"
  display_name = "Daybook: the ledger runs as this"

  depends_on = [google_project_service.default]
}

resource "google_service_account" "runtime" {
  project      = var.project_id
  account_id   = "${var.name}-run"
  display_name = "Daybook: the function runs as this, and writes to Drive"

  depends_on = [google_project_service.default]
}

resource "google_service_account" "scheduler" {
  project      = var.project_id
  account_id   = "${var.name}-scheduler"
  display_name = "Daybook: Cloud Scheduler calls as this"

  depends_on = [google_project_service.default]
}

resource "google_service_account" "tasks" {
  project      = var.project_id
  account_id   = "${var.name}-tasks"
  display_name = "Daybook: Cloud Tasks calls as this"

  depends_on = [google_project_service.default]
}
