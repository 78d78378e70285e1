# For a pipeline on GitHub: its jobs become the planner, and after approval the deployer,
# without a key. Cloud Build needs none of this; its triggers name their accounts.
resource "google_iam_workload_identity_pool" "default" {
  count = var.github == null ? 0 : 1

  project = var.project_id
  # A deleted pool's id cannot be used again for 30 days.
  workload_identity_pool_id = "${var.name}-github"
  display_name              = "Daybook's pipeline"

  depends_on = [google_project_service.default]
}

resource "google_iam_workload_identity_pool_provider" "default" {
  #checkov:skip=CKV_GCP_125:The repository, its owner's number and the ref are compared each by itself; the subject that the check looks for is made of two of them.
  count = var.github == null ? 0 : 1

  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.default[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"

  attribute_mapping = {
    "attribute.repository" = "assertion.repository"
    "google.subject"       = "assertion.sub"
  }

  # The owner by number: a name that was given up can be taken by another person.
  attribute_condition = join(" && ", [
    "assertion.repository == '${var.github.repository}'",
    "assertion.repository_owner_id == '${var.github.owner_id}'",
    "assertion.ref == '${var.github.ref}'",
  ])

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

# Only a job in this environment, whose protection rules ask for reviewers: the subject names
# it. https://docs.github.com/en/actions/reference/security/oidc#filtering-for-a-specific-environment
resource "google_service_account_iam_member" "github" {
  count = var.github == null ? 0 : 1

  service_account_id = google_service_account.deployer.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.default[0].name}/subject/repo:${var.github.repository}:environment:${var.github.environment}"
}

resource "google_service_account_iam_member" "github_planner" {
  count = var.github == null ? 0 : 1

  service_account_id = google_service_account.planner.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.default[0].name}/attribute.repository/${var.github.repository}"
}
