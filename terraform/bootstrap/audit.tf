locals {
  # A token for acting as a service account counts as a read, of IAM.
  # https://cloud.google.com/iam/docs/audit-logging/audit-logging-iamcreds
  audited = {
    "iam.googleapis.com"           = ["ADMIN_READ", "DATA_READ"]
    "secretmanager.googleapis.com" = ["DATA_READ", "DATA_WRITE"]
    "storage.googleapis.com"       = ["DATA_READ", "DATA_WRITE"]
  }
}

# Who read the state, a source archive or a secret, or acted as one of Daybook's accounts: not
# recorded unless asked for.
resource "google_project_iam_audit_config" "default" {
  for_each = local.audited

  project = var.project_id
  service = each.key

  dynamic "audit_log_config" {
    for_each = each.value

    content {
      log_type = audit_log_config.value
    }
  }

  depends_on = [google_project_service.default]
}
