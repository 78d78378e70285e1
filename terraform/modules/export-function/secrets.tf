locals {
  written_secrets = { for name, secret in var.secrets : name => secret if secret.value_version != null }

  # A secret that is written here is pinned to the version written last, so that a new value
  # makes a new revision of the function.
  secret_versions = {
    for name, secret in var.secrets : name => {
      secret_id = secret.value_version == null ? secret.secret_id : google_secret_manager_secret.default[name].secret_id
      version   = secret.value_version == null ? secret.version : google_secret_manager_secret_version.default[name].version
    }
  }
}

resource "google_secret_manager_secret" "default" {
  for_each = local.written_secrets

  project   = var.project_id
  secret_id = each.value.secret_id
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.default]
}

resource "google_secret_manager_secret_version" "default" {
  for_each = local.written_secrets

  secret                 = google_secret_manager_secret.default[each.key].id
  secret_data_wo         = var.secret_values[each.key]
  secret_data_wo_version = each.value.value_version
  # The former one goes only when nothing uses it any more: a revision that is rolled back
  # to still needs it.
  deletion_policy = "ABANDON"
}
