locals {
  # As conditions call it.
  # https://cloud.google.com/storage/docs/access-control/iam#conditions
  state_bucket = "projects/_/buckets/${google_storage_bucket.state.name}"

  # Who may do what in the bucket. Terraform lists it, which is a right on the bucket. Without
  # the right to delete, storage.objectCreator cannot overwrite: a plan is written once.
  state_grants = {
    deployer_reads = {
      member     = google_service_account.deployer.member
      role       = "roles/storage.objectViewer"
      title      = "lists, reads plans"
      expression = "resource.name == '${local.state_bucket}' || resource.name.startsWith('${local.state_bucket}/objects/plans/')"
    }
    deployer_writes = {
      member     = google_service_account.deployer.member
      role       = "roles/storage.objectUser"
      title      = "states and their locks"
      expression = "resource.name.startsWith('${local.state_bucket}/objects/daybook/')"
    }
    planner_locks = {
      member     = google_service_account.planner.member
      role       = "roles/storage.objectUser"
      title      = "locks of states"
      expression = "resource.name.startsWith('${local.state_bucket}/objects/daybook/') && resource.name.endsWith('.tflock')"
    }
    planner_plans = {
      member     = google_service_account.planner.member
      role       = "roles/storage.objectCreator"
      title      = "new plans"
      expression = "resource.name.startsWith('${local.state_bucket}/objects/plans/')"
    }
    planner_reads = {
      member     = google_service_account.planner.member
      role       = "roles/storage.objectViewer"
      title      = "lists, reads states, plans"
      expression = "resource.name == '${local.state_bucket}' || resource.name.startsWith('${local.state_bucket}/objects/daybook/') || resource.name.startsWith('${local.state_bucket}/objects/plans/')"
    }
  }
}

resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:The audit log records each access (audit.tf); usage logs would only add a second bucket.
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-state"
  location                    = var.region
  labels                      = { app = "daybook" }
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  versioning {
    enabled = true
  }

  # A state that was overwritten by mistake is noticed within these.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 90
      num_newer_versions         = 20
    }
  }

  # The plans of cloudbuild.yaml: one that was not approved is stale long before.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 90
      matches_prefix = ["plans/"]
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.default]
}

resource "google_storage_bucket_iam_member" "state" {
  for_each = local.state_grants

  bucket = google_storage_bucket.state.name
  role   = each.value.role
  member = each.value.member

  condition {
    title      = each.value.title
    expression = each.value.expression
  }
}

# A new bucket is also open to the project's editors and viewers, such as the default account of
# Compute Engine may be one. These are the roles that open it.
resource "google_storage_bucket_iam_binding" "owners" {
  for_each = toset([
    "roles/storage.legacyBucketOwner",
    "roles/storage.legacyBucketReader",
    "roles/storage.legacyObjectOwner",
    "roles/storage.legacyObjectReader",
  ])

  bucket  = google_storage_bucket.state.name
  role    = each.value
  members = ["projectOwner:${var.project_id}"]
}
