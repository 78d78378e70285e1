mock_provider "google" {
  source = "./tests/mocks"
}

mock_provider "time" {}

variables {
  drive_folder_id = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
  ledger_callers  = { "/wallets/{ownerUserId}" = ["shop@my-project.iam.gserviceaccount.com"] }
  project_id      = "my-project"
  region          = "asia-southeast1"
  secret_values   = {}
  source_root     = "./tests/source"
}

run "secrets_made_outside_are_only_referred_to" {
  variables {
    secrets = {
      DAYBOOK_ALERT_URLS  = { secret_id = "daybook-alert-urls", version = "3" }
      DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" }
    }
  }

  assert {
    condition     = length(google_secret_manager_secret.default) == 0 && length(google_secret_manager_secret_version.default) == 0
    error_message = "A secret that was made outside is made again."
  }

  assert {
    condition = {
      for secret in google_cloudfunctions2_function.default.service_config[0].secret_environment_variables :
      secret.key => "${secret.project_id} ${secret.secret} ${secret.version}"
      } == {
      DAYBOOK_ALERT_URLS  = "my-project daybook-alert-urls 3"
      DAYBOOK_MONGODB_URI = "my-project daybook-mongodb-uri latest"
    }
    error_message = "The function does not get its secrets from Secret Manager."
  }

  assert {
    condition     = toset([for grant in google_secret_manager_secret_iam_member.runtime : "${grant.secret_id} ${grant.role} ${grant.member}"]) == toset(["daybook-alert-urls roles/secretmanager.secretAccessor serviceAccount:daybook-run@my-project.iam.gserviceaccount.com", "daybook-mongodb-uri roles/secretmanager.secretAccessor serviceAccount:daybook-run@my-project.iam.gserviceaccount.com"])
    error_message = "The function cannot read its secrets, or others can."
  }
}

run "secrets_never_stand_in_plain_variables" {
  variables {
    secrets = {
      DAYBOOK_ALERT_URLS   = { secret_id = "daybook-alert-urls" }
      DAYBOOK_MONGODB_URI  = { secret_id = "daybook-mongodb-uri" }
      DAYBOOK_RECEIPT_URLS = { secret_id = "daybook-receipt-urls" }
    }
    ledger_enabled = true
  }

  assert {
    condition     = length(setintersection(keys(google_cloudfunctions2_function.default.service_config[0].environment_variables), ["DAYBOOK_ALERT_URLS", "DAYBOOK_MONGODB_URI", "DAYBOOK_RECEIPT_URLS"])) == 0
    error_message = "A secret is in a plain environment variable of the function."
  }

  assert {
    condition     = length(setintersection(keys(google_cloudfunctions2_function.ledger[0].service_config[0].environment_variables), ["DAYBOOK_ALERT_URLS", "DAYBOOK_MONGODB_URI", "DAYBOOK_RECEIPT_URLS"])) == 0
    error_message = "A secret is in a plain environment variable of the ledger."
  }

  assert {
    condition     = [for secret in google_cloudfunctions2_function.ledger[0].service_config[0].secret_environment_variables : secret.key] == ["DAYBOOK_MONGODB_URI"]
    error_message = "The ledger gets other secrets than the database's address."
  }
}

run "written_secrets_stay_out_of_the_state" {
  variables {
    secrets       = { DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri", value_version = 2 } }
    secret_values = { DAYBOOK_MONGODB_URI = "mongodb+srv://reader:hunter2@cluster0.example.net" }
  }

  assert {
    condition     = google_secret_manager_secret_version.default["DAYBOOK_MONGODB_URI"].secret_data_wo == null && google_secret_manager_secret_version.default["DAYBOOK_MONGODB_URI"].secret_data == null
    error_message = "The secret's content is in the state."
  }

  assert {
    condition     = google_secret_manager_secret_version.default["DAYBOOK_MONGODB_URI"].secret_data_wo_version == 2
    error_message = "Raising value_version would not write the new content."
  }

  assert {
    condition     = google_secret_manager_secret_version.default["DAYBOOK_MONGODB_URI"].deletion_policy == "ABANDON"
    error_message = "A revision that is rolled back to would not find its secret any more."
  }

  assert {
    condition     = one(google_cloudfunctions2_function.default.service_config[0].secret_environment_variables[*].version) == "7"
    error_message = "The function is not pinned to the version that was written, so that a new one would not reach it."
  }
}

# A grant is not known everywhere at once, neither in the first apply nor in a later one.
run "function_waits_until_what_it_was_granted_is_known" {
  variables {
    ledger_enabled = true
    secrets = {
      DAYBOOK_ALERT_URLS  = { secret_id = "daybook-alert-urls" }
      DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" }
    }
  }

  assert {
    condition     = time_sleep.propagation.create_duration == "60s"
    error_message = "The function is deployed as soon as its rights are asked for."
  }

  assert {
    condition     = length(split(",", time_sleep.propagation.triggers.secrets)) == 2 && strcontains(time_sleep.propagation.triggers.secrets, "daybook-alert-urls") && time_sleep.propagation.triggers.ledger == "true" && strcontains(time_sleep.propagation.triggers.services, "secretmanager.googleapis.com")
    error_message = "A secret, a ledger or a service that comes later would not be waited for."
  }
}
