locals {
  labels = merge({ app = "daybook" }, var.labels)

  services = concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "cloudscheduler.googleapis.com",
      "cloudtasks.googleapis.com",
      "drive.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "storage.googleapis.com",
    ],
    var.drive_subject == null ? [] : ["iamcredentials.googleapis.com"],
    var.static_egress == null && var.page_domain == null ? [] : ["compute.googleapis.com"],
    var.page_domain == null ? [] : ["iap.googleapis.com"],
  )
}

data "google_project" "default" {
  project_id = var.project_id
}

resource "google_project_service" "default" {
  for_each = toset(local.services)

  project = var.project_id
  service = each.value
  # Other things in the project may use the same service.
  disable_on_destroy = false
}

# What was just enabled or granted is not yet so everywhere: a function that is deployed at
# once may find its secret closed, and the apply would fail. The triggers make it wait again
# for a service, a secret or an account that comes later.
resource "time_sleep" "propagation" {
  create_duration = "60s"

  triggers = {
    ledger   = tostring(var.ledger_enabled)
    secrets  = join(",", [for name, secret in var.secrets : "${name}=${secret.secret_id}"])
    services = join(",", sort(local.services))
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build,
    google_project_service.default,
    google_secret_manager_secret_iam_member.ledger,
    google_secret_manager_secret_iam_member.runtime,
  ]
}
