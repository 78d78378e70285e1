mock_provider "google" {
  # Half the time of an apply: the archive of the whole source takes most of it.
  override_during = plan
  source          = "../modules/export-function/tests/mocks"
}

mock_provider "time" {}

variables {
  environment         = "staging"
  drive_folder_id     = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
  notification_emails = ["operator@example.com"]
  operators           = ["operator@example.com"]
  paused              = true
  project_id          = "my-company-daybook-staging"
  secret_values       = {}
  static_egress       = true
}

run "example_becomes_a_running_daybook" {
  command = plan

  assert {
    condition     = module.export_function.schedules.batch == "0 18 * * *" && module.export_function.schedules.watchdog == "0 20 * * *" && module.export_function.schedules.time_zone == "Asia/Bangkok"
    error_message = "The batch is not due at 18:00 in Bangkok with its dead man's switch at 20:00."
  }

  assert {
    condition     = module.export_function.paused
    error_message = "The evening's batch runs before everything is set up."
  }

  assert {
    condition     = output.job_names == { for key in ["audit", "batch", "doctor", "migrate", "retry", "sweep", "watchdog"] : key => "daybook-${key}" }
    error_message = "A job is missing: ${jsonencode(output.job_names)}"
  }

  assert {
    condition     = output.service_url == "https://daybook-123456789012.asia-southeast1.run.app"
    error_message = "The function's address is not the one that Cloud Run gives it."
  }

  assert {
    condition     = module.export_function.ingress == "ALLOW_INTERNAL_ONLY" && output.ledger_url == null
    error_message = "More is open than asked for."
  }

  assert {
    condition     = output.egress_address == "203.0.113.7"
    error_message = "There is no address for the allow-list."
  }

  assert {
    condition     = startswith(output.drive_access, "Add ") && strcontains(output.drive_access, "to the shared drive as Contributor")
    error_message = "Nothing says whom to add to the shared drive."
  }

  assert {
    condition     = module.observability.alerts["batch_failed"].severity == "CRITICAL" && module.observability.alerts["day_missing"].severity == "CRITICAL" && length(module.observability.channels) == 1
    error_message = "A failed or a missing batch wakes nobody."
  }

  assert {
    condition     = module.observability.probe == "scheduler_job" && contains(module.observability.metric_names, "daybook/duration")
    error_message = "The function is probed from where it cannot be reached, or is not measured."
  }

  assert {
    condition     = startswith(output.todays_run_url, "https://console.cloud.google.com/logs/query;query=")
    error_message = "Nothing says where to look."
  }
}

run "another_environment_has_other_names_and_times" {
  command = plan

  variables {
    environment = "prod"
    project_id  = "my-company-daybook-prod"
    schedules   = { batch = "0 19 * * *", time_zone = "Asia/Tokyo" }
  }

  assert {
    condition     = module.export_function.schedules == { audit = "30 6 * * *", batch = "0 19 * * *", sweep = "30 3 * * *", time_zone = "Asia/Tokyo", watchdog = "0 20 * * *" }
    error_message = "The schedules are not those asked for, with the module's defaults for the others: ${jsonencode(output.schedules)}"
  }

  assert {
    condition     = strcontains(output.todays_run_url, "project=my-company-daybook-prod")
    error_message = "The link leads to another environment."
  }
}

run "refuses_a_name_that_is_no_label_and_no_prefix" {
  command = plan

  variables {
    environment = "Staging/2"
  }

  expect_failures = [var.environment]
}

run "refuses_an_environment_without_a_name" {
  command = plan

  variables {
    environment = null
  }

  expect_failures = [var.environment]
}
