mock_provider "google" {
  source = "./tests/mocks"
}

mock_provider "time" {}

variables {
  drive_folder_id = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
  metrics_readers = ["prometheus@my-project.iam.gserviceaccount.com"]
  page_readers    = ["reader@example.com"]
  operators       = ["operator@example.com", "pager@my-project.iam.gserviceaccount.com"]
  project_id      = "my-project"
  region          = "asia-southeast1"
  secret_values   = {}
  source_root     = "./tests/source"
  secrets         = { DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" } }
}

run "nobody_but_the_named_may_call_the_function" {
  assert {
    condition = toset([for grant in google_cloud_run_v2_service_iam_member.invoker : grant.member]) == toset([
      "serviceAccount:daybook-scheduler@my-project.iam.gserviceaccount.com",
      "serviceAccount:daybook-tasks@my-project.iam.gserviceaccount.com",
      "serviceAccount:pager@my-project.iam.gserviceaccount.com",
      "serviceAccount:prometheus@my-project.iam.gserviceaccount.com",
      "user:operator@example.com",
      "user:reader@example.com",
    ])
    error_message = "Other members than the scheduler, the tasks, the operators and the readers of metrics and page may call the function."
  }

  assert {
    condition     = alltrue([for grant in google_cloud_run_v2_service_iam_member.invoker : grant.name == "daybook" && grant.role == "roles/run.invoker"])
    error_message = "The grants are not the invoker role on the function's own service."
  }

  assert {
    condition = length([
      for grant in concat(
        values(google_cloud_run_v2_service_iam_member.invoker),
        values(google_cloud_run_v2_service_iam_member.ledger_invoker),
        values(google_project_iam_member.build),
        values(google_project_iam_member.operator),
      ) : grant.member if contains(["allUsers", "allAuthenticatedUsers"], grant.member)
    ]) == 0
    error_message = "Something is open to everybody."
  }
}

run "function_is_not_reachable_from_outside_unless_asked_for" {
  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "The function can be reached from the internet by default."
  }
}

run "ingress_can_be_chosen" {
  variables {
    ingress        = "ALLOW_INTERNAL_AND_GCLB"
    ledger_callers = { "/wallets" = ["shop@my-project.iam.gserviceaccount.com"] }
    ledger_enabled = true
  }

  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].ingress_settings == "ALLOW_INTERNAL_AND_GCLB" && google_cloudfunctions2_function.ledger[0].service_config[0].ingress_settings == "ALLOW_INTERNAL_AND_GCLB"
    error_message = "The ingress did not reach both functions."
  }
}

run "each_route_is_called_by_those_it_is_meant_for" {
  assert {
    condition = local.callers_by_route == {
      "/"              = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/run"           = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "daybook-tasks@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/tasks/run"     = toset(["daybook-tasks@my-project.iam.gserviceaccount.com"])
      "/exports"       = toset(["operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/audit"         = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "daybook-tasks@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/watchdog"      = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/sweep"         = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "daybook-tasks@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/admin/retry"   = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/admin/doctor"  = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/admin/migrate" = toset(["daybook-scheduler@my-project.iam.gserviceaccount.com", "operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/admin/release" = toset(["operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/admin/requeue" = toset(["operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/admin/verify"  = toset(["operator@example.com", "pager@my-project.iam.gserviceaccount.com"])
      "/page"          = toset(["operator@example.com", "pager@my-project.iam.gserviceaccount.com", "reader@example.com"])
      "/metrics"       = toset(["operator@example.com", "pager@my-project.iam.gserviceaccount.com", "prometheus@my-project.iam.gserviceaccount.com"])
    }
    error_message = "A route is open to others than meant: ${jsonencode(local.callers_by_route)}"
  }

  assert {
    condition     = strcontains(google_cloudfunctions2_function.default.service_config[0].environment_variables["DAYBOOK_CALLERS"], "/tasks/run=daybook-tasks@my-project.iam.gserviceaccount.com,")
    error_message = "DAYBOOK_CALLERS is not ROUTE=ACCOUNT, separated by commas."
  }

  assert {
    condition     = alltrue([for pair in split(",", local.callers) : can(regex("^/[a-z/]*=[^\\s@,:/=]+@[^\\s@,:/=]+$", pair))])
    error_message = "DAYBOOK_CALLERS has a pair that the function would refuse: ${local.callers}"
  }

  # The scheduler's jobs, each at a route that lets the scheduler in.
  assert {
    condition     = alltrue([for job in merge(local.jobs, local.jobs_by_hand) : contains(local.callers_by_route[job.path], "daybook-scheduler@my-project.iam.gserviceaccount.com")])
    error_message = "A job calls a route that would turn it away."
  }
}

run "function_has_an_account_of_its_own" {
  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].service_account_email == "daybook-run@my-project.iam.gserviceaccount.com"
    error_message = "The function runs as another account."
  }

  assert {
    condition     = strcontains(output.drive_access, "Add daybook-run@my-project.iam.gserviceaccount.com to the shared drive as Contributor")
    error_message = "The output does not say whom to add to the shared drive."
  }

  assert {
    condition     = length(google_service_account_iam_member.runtime_as_itself) == 0
    error_message = "The runtime account may sign for itself although nobody delegates to it."
  }
}

run "delegation_lets_the_account_sign_for_itself" {
  variables {
    drive_subject = "books@example.com"
  }

  assert {
    condition = (
      google_service_account_iam_member.runtime_as_itself[0].service_account_id == "projects/my-project/serviceAccounts/daybook-run@my-project.iam.gserviceaccount.com"
      && google_service_account_iam_member.runtime_as_itself[0].member == "serviceAccount:daybook-run@my-project.iam.gserviceaccount.com"
      && google_service_account_iam_member.runtime_as_itself[0].role == "roles/iam.serviceAccountTokenCreator"
    )
    error_message = "Delegation without a key needs the account to be token creator on itself."
  }

  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].environment_variables["DAYBOOK_DRIVE_SUBJECT"] == "books@example.com"
    error_message = "The function does not know for whom to act."
  }

  assert {
    condition     = strcontains(output.drive_access, "domain-wide delegation") && contains(local.services, "iamcredentials.googleapis.com")
    error_message = "What delegation needs is not said or not enabled."
  }
}

run "build_account_reads_only_source_archives" {
  assert {
    condition     = strcontains(google_project_iam_member.build["roles/storage.objectViewer"].condition[0].expression, "projects/_/buckets/my-project-daybook-source")
    error_message = "The build account may read every bucket of the project."
  }

  assert {
    condition     = toset(keys(google_project_iam_member.build)) == toset(["roles/logging.logWriter", "roles/storage.objectViewer"])
    error_message = "The build account has other rights in the project than to write logs and to read archives."
  }
}

run "operators_may_run_jobs_and_read_logs" {
  assert {
    condition     = toset([for grant in google_project_iam_member.operator : grant.member]) == toset(["user:operator@example.com", "serviceAccount:pager@my-project.iam.gserviceaccount.com"])
    error_message = "Other members than the operators have their rights."
  }

  assert {
    condition     = toset([for grant in google_project_iam_member.operator : grant.role]) == toset(["roles/cloudscheduler.jobRunner", "roles/cloudscheduler.viewer", "roles/logging.viewer", "roles/monitoring.viewer"])
    error_message = "Operators have other rights in the project than to run jobs and to look."
  }
}

run "ledger_is_off_by_default" {
  assert {
    condition     = length(google_cloudfunctions2_function.ledger) == 0 && output.ledger_url == null
    error_message = "There is a ledger that nobody asked for."
  }
}

run "ledger_binds_no_account_to_wallets_unless_asked_to" {
  variables {
    ledger_callers = { "/wallets" = ["shop@my-project.iam.gserviceaccount.com"] }
    ledger_enabled = true
  }

  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.ledger[0].service_config[0].environment_variables), "DAYBOOK_LEDGER_WALLETS")
    error_message = "The ledger gets an empty setting, with which it does not start."
  }
}

run "ledger_has_its_own_account_and_callers" {
  variables {
    ledger_callers = {
      "/transfers"                     = ["payments@my-project.iam.gserviceaccount.com", "shop@my-project.iam.gserviceaccount.com"]
      "/wallets/{ownerUserId}"         = ["auditor@example.com", "shop@my-project.iam.gserviceaccount.com"]
      "/wallets/{ownerUserId}/credits" = ["payments@my-project.iam.gserviceaccount.com"]
    }
    ledger_enabled = true
    ledger_wallets = {
      "payments@my-project.iam.gserviceaccount.com" = ["*"]
      "shop@my-project.iam.gserviceaccount.com"     = ["65a8*", "65b000000000000000000001"]
    }
  }

  assert {
    condition     = google_cloudfunctions2_function.ledger[0].service_config[0].environment_variables["DAYBOOK_LEDGER_WALLETS"] == "payments@my-project.iam.gserviceaccount.com=*,shop@my-project.iam.gserviceaccount.com=65a8*,shop@my-project.iam.gserviceaccount.com=65b000000000000000000001"
    error_message = "The ledger gives accounts other wallets than meant."
  }

  assert {
    condition     = google_cloudfunctions2_function.ledger[0].build_config[0].entry_point == "ledger" && google_cloudfunctions2_function.ledger[0].service_config[0].service_account_email == "daybook-ledger@my-project.iam.gserviceaccount.com"
    error_message = "The ledger is not the ledger, or shares the function's account."
  }

  # Each account once, however many routes name it, and nobody else: neither the scheduler nor an operator.
  assert {
    condition = [for grant in google_cloud_run_v2_service_iam_member.ledger_invoker : "${grant.name} ${grant.role} ${grant.member}"] == [
      "daybook-ledger roles/run.invoker user:auditor@example.com",
      "daybook-ledger roles/run.invoker serviceAccount:payments@my-project.iam.gserviceaccount.com",
      "daybook-ledger roles/run.invoker serviceAccount:shop@my-project.iam.gserviceaccount.com",
    ]
    error_message = "Others than the callers of its routes may call the ledger."
  }

  assert {
    condition = google_cloudfunctions2_function.ledger[0].service_config[0].environment_variables["DAYBOOK_CALLERS"] == join(",", [
      "/transfers=payments@my-project.iam.gserviceaccount.com",
      "/transfers=shop@my-project.iam.gserviceaccount.com",
      "/wallets/{ownerUserId}=auditor@example.com",
      "/wallets/{ownerUserId}=shop@my-project.iam.gserviceaccount.com",
      "/wallets/{ownerUserId}/credits=payments@my-project.iam.gserviceaccount.com",
    ])
    error_message = "The ledger opens a route to others than its callers."
  }

  assert {
    condition     = !strcontains(google_cloudfunctions2_function.default.service_config[0].environment_variables["DAYBOOK_CALLERS"], "wallets")
    error_message = "The export gets the routes of the ledger."
  }

  assert {
    condition     = google_secret_manager_secret_iam_member.ledger[0].secret_id == "daybook-mongodb-uri" && google_secret_manager_secret_iam_member.ledger[0].role == "roles/secretmanager.secretAccessor" && google_secret_manager_secret_iam_member.ledger[0].member == "serviceAccount:daybook-ledger@my-project.iam.gserviceaccount.com"
    error_message = "The ledger cannot read the database's address, or may do more with it."
  }

  assert {
    condition     = length(setintersection(keys(google_cloudfunctions2_function.ledger[0].service_config[0].environment_variables), ["DAYBOOK_TASKS_QUEUE", "DAYBOOK_SERVICE_URL"])) == 0
    error_message = "The ledger gets settings of the export."
  }
}

run "operators_act_as_the_function_only_if_asked_for" {
  assert {
    condition     = length(google_service_account_iam_member.operator_as_runtime) == 0 && length(google_cloud_run_v2_service_iam_member.operator_viewer) == 0
    error_message = "Operators may act as the function's account by default."
  }
}

run "operators_can_run_the_command_line" {
  variables {
    operator_cli = true
  }

  assert {
    condition = {
      for grant in google_service_account_iam_member.operator_as_runtime : grant.member => "${grant.role} on ${grant.service_account_id}"
      } == {
      "serviceAccount:pager@my-project.iam.gserviceaccount.com" = "roles/iam.serviceAccountTokenCreator on projects/my-project/serviceAccounts/daybook-run@my-project.iam.gserviceaccount.com"
      "user:operator@example.com"                               = "roles/iam.serviceAccountTokenCreator on projects/my-project/serviceAccounts/daybook-run@my-project.iam.gserviceaccount.com"
    }
    error_message = "The operators cannot act as the function's account, or can act as another."
  }

  assert {
    condition     = alltrue([for grant in google_cloud_run_v2_service_iam_member.operator_viewer : grant.name == "daybook" && grant.role == "roles/run.viewer"]) && length(google_cloud_run_v2_service_iam_member.operator_viewer) == 2
    error_message = "The operators cannot read the service's settings."
  }

  assert {
    condition     = toset([for grant in google_secret_manager_secret_iam_member.runtime : grant.member]) == toset(["serviceAccount:daybook-run@my-project.iam.gserviceaccount.com"])
    error_message = "A person may read a secret without acting as the function."
  }
}

run "page_is_behind_identity_aware_proxy_only_if_asked_for" {
  assert {
    condition     = length(google_compute_backend_service.page) == 0 && length(google_compute_global_forwarding_rule.page) == 0
    error_message = "There is a load balancer that nobody asked for."
  }
}

run "page_is_open_to_operators_and_readers_behind_the_proxy" {
  variables {
    ingress     = "ALLOW_INTERNAL_AND_GCLB"
    page_domain = "daybook.example.com"
  }

  assert {
    condition     = google_compute_backend_service.page[0].iap[0].enabled
    error_message = "The load balancer lets everybody through."
  }

  assert {
    condition     = google_compute_backend_service.page[0].log_config[0].enable && google_compute_backend_service.page[0].log_config[0].sample_rate == 1
    error_message = "A request that the proxy turns away leaves no record."
  }

  assert {
    condition     = google_compute_target_https_proxy.page[0].ssl_policy == google_compute_ssl_policy.page[0].id && google_compute_ssl_policy.page[0].min_tls_version == "TLS_1_2"
    error_message = "The load balancer speaks TLS 1.0."
  }

  assert {
    condition     = toset([for grant in google_iap_web_backend_service_iam_member.page : grant.member]) == toset(["serviceAccount:pager@my-project.iam.gserviceaccount.com", "user:operator@example.com", "user:reader@example.com"])
    error_message = "The proxy lets others in than operators and readers."
  }

  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].environment_variables["DAYBOOK_PAGE_URL"] == "https://daybook.example.com"
    error_message = "Alerts do not link to the page's domain."
  }
}

run "page_domain_needs_an_ingress_that_lets_the_load_balancer_in" {
  command = plan

  variables {
    page_domain = "daybook.example.com"
  }

  expect_failures = [var.page_domain]
}
