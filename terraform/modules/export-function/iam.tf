locals {
  # By the address alone; the prefix says what kind of account it is.
  ledger_members = {
    for email in toset(flatten([for accounts in var.ledger_callers : tolist(accounts)])) :
    email => "${endswith(email, ".gserviceaccount.com") ? "serviceAccount" : "user"}:${email}"
  }

  operator_members = {
    for email in var.operators : email => "${endswith(email, ".gserviceaccount.com") ? "serviceAccount" : "user"}:${email}"
  }

  page_members = {
    for email in var.page_readers : email => "${endswith(email, ".gserviceaccount.com") ? "serviceAccount" : "user"}:${email}"
  }

  invokers = merge(
    local.operator_members,
    { for email in var.metrics_readers : email => "serviceAccount:${email}" },
    local.page_members,
    {
      scheduler = local.members.scheduler
      tasks     = local.members.tasks
    },
  )
}

# On the Cloud Run service, which bears the function's name: the function's own IAM resource
# rejects this role.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = local.invokers

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.default.name
  role     = "roles/run.invoker"
  member   = each.value
}

resource "google_cloud_run_v2_service_iam_member" "ledger_invoker" {
  for_each = var.ledger_enabled ? local.ledger_members : {}

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.ledger[0].name
  role     = "roles/run.invoker"
  member   = each.value
}

# The viewer is for the doctor, which looks whether the queue is there and running.
resource "google_cloud_tasks_queue_iam_member" "runtime" {
  for_each = toset(["roles/cloudtasks.enqueuer", "roles/cloudtasks.viewer"])

  project  = var.project_id
  location = var.region
  name     = google_cloud_tasks_queue.default.name
  role     = each.value
  member   = local.members.run
}

# A task may name the account that it calls as only if its creator may act as that account.
resource "google_service_account_iam_member" "runtime_as_tasks" {
  service_account_id = "projects/${var.project_id}/serviceAccounts/${local.emails.tasks}"
  role               = "roles/iam.serviceAccountUser"
  member             = local.members.run
}

# Domain-wide delegation without a key: the account signs for itself.
resource "google_service_account_iam_member" "runtime_as_itself" {
  count = var.drive_subject == null ? 0 : 1

  service_account_id = "projects/${var.project_id}/serviceAccounts/${local.emails.run}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.members.run
}

resource "google_secret_manager_secret_iam_member" "runtime" {
  for_each = var.secrets

  project   = var.project_id
  secret_id = each.value.value_version == null ? each.value.secret_id : google_secret_manager_secret.default[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members.run

  depends_on = [google_project_service.default]
}

resource "google_secret_manager_secret_iam_member" "ledger" {
  count = var.ledger_enabled ? 1 : 0

  project   = var.project_id
  secret_id = google_secret_manager_secret_iam_member.runtime["DAYBOOK_MONGODB_URI"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members.ledger
}

# The command line does what the function does, so it acts as the function's account: that reads
# its secrets, and Drive's IDs are issued to it. Nothing is granted to the person directly.
resource "google_service_account_iam_member" "operator_as_runtime" {
  for_each = var.operator_cli ? local.operator_members : {}

  service_account_id = "projects/${var.project_id}/serviceAccounts/${local.emails.run}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}

# The settings, as the service has them: names and versions of secrets, not their values.
resource "google_cloud_run_v2_service_iam_member" "operator_viewer" {
  for_each = var.operator_cli ? local.operator_members : {}

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.default.name
  role     = "roles/run.viewer"
  member   = each.value
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.default.name
  role       = "roles/artifactregistry.writer"
  member     = local.members.build
}

# Cloud Functions copies the archive to a bucket of its own before it builds.
resource "google_project_iam_member" "build" {
  for_each = {
    "roles/logging.logWriter"    = null
    "roles/storage.objectViewer" = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.source.name}\") || resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\")"
  }

  project = var.project_id
  role    = each.key
  member  = local.members.build

  dynamic "condition" {
    for_each = each.value == null ? [] : [each.value]

    content {
      title      = "source archives only"
      expression = condition.value
    }
  }
}

# Neither a single job nor a single service's log can be granted alone.
resource "google_project_iam_member" "operator" {
  for_each = {
    for pair in setproduct(var.operators, [
      "roles/cloudscheduler.jobRunner",
      "roles/cloudscheduler.viewer",
      "roles/logging.viewer",
      "roles/monitoring.viewer",
    ]) : "${pair[1]} ${pair[0]}" => { email = pair[0], role = pair[1] }
  }

  project = var.project_id
  role    = each.value.role
  member  = local.operator_members[each.value.email]
}
