mock_provider "google" {
  override_during = plan
  source          = "./tests/mocks"
}

mock_provider "time" {}

variables {
  function_name             = "daybook"
  ingress                   = "ALLOW_INTERNAL_ONLY"
  job_names                 = { audit = "daybook-audit", batch = "daybook-batch", sweep = "daybook-sweep", watchdog = "daybook-watchdog" }
  notification_emails       = ["operator@example.com"]
  project_id                = "my-project"
  queue_name                = "daybook"
  region                    = "asia-southeast1"
  scheduler_service_account = "daybook-scheduler@my-project.iam.gserviceaccount.com"
  service_url               = "https://daybook-123456789012.asia-southeast1.run.app"
}

run "refuses_a_functions_path" {
  command = plan

  variables {
    function_name = "projects/p/locations/l/functions/daybook"
  }

  expect_failures = [var.function_name]
}

run "refuses_an_unknown_ingress" {
  command = plan

  variables {
    ingress = "ALLOW_EVERYBODY"
  }

  expect_failures = [var.ingress]
}

run "refuses_no_watchdog" {
  command = plan

  variables {
    job_names = { audit = "daybook-audit", batch = "daybook-batch", sweep = "daybook-sweep" }
  }

  expect_failures = [var.job_names]
}

run "refuses_a_limit_of_nothing" {
  command = plan

  variables {
    limits = { entries = 0 }
  }

  expect_failures = [var.limits]
}

run "refuses_a_channels_display_name" {
  command = plan

  variables {
    notification_channels = ["#alerts"]
  }

  expect_failures = [var.notification_channels]
}

run "warns_that_nobody_is_told" {
  command = plan

  variables {
    notification_emails = []
  }

  expect_failures = [check.somebody_is_told]
}

run "refuses_an_address_without_an_at_sign" {
  command = plan

  variables {
    notification_emails = ["operator.example.com"]
  }

  expect_failures = [var.notification_emails]
}

run "refuses_a_probe_every_seven_minutes" {
  command = plan

  variables {
    probe_minutes = 7
  }

  expect_failures = [var.probe_minutes]
}

run "refuses_a_project_number" {
  command = plan

  variables {
    project_id = "123456789012"
  }

  expect_failures = [var.project_id]
}

run "refuses_a_zone" {
  command = plan

  variables {
    region = "asia-southeast1-a"
  }

  expect_failures = [var.region]
}

run "refuses_a_runbook_with_a_chapter" {
  command = plan

  variables {
    runbook = "docs/runbook.md#batch-failed"
  }

  expect_failures = [var.runbook]
}

run "refuses_a_caller_that_is_no_service_account" {
  command = plan

  variables {
    scheduler_service_account = "operator@example.com"
  }

  expect_failures = [var.scheduler_service_account]
}

run "refuses_an_address_with_a_path" {
  command = plan

  variables {
    service_url = "https://daybook-123456789012.asia-southeast1.run.app/run"
  }

  expect_failures = [var.service_url]
}
