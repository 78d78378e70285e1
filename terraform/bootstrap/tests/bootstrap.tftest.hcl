mock_provider "google" {
  override_during = plan

  mock_resource "google_service_account" {
    defaults = {
      email  = "account@my-project.iam.gserviceaccount.com"
      member = "serviceAccount:account@my-project.iam.gserviceaccount.com"
      name   = "projects/my-project/serviceAccounts/account@my-project.iam.gserviceaccount.com"
    }
  }

  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/123456789012/locations/global/workloadIdentityPools/daybook-github" }
  }

  override_resource {
    target = google_service_account.checker
    values = {
      email  = "daybook-checker@my-project.iam.gserviceaccount.com"
      member = "serviceAccount:daybook-checker@my-project.iam.gserviceaccount.com"
      name   = "projects/my-project/serviceAccounts/daybook-checker@my-project.iam.gserviceaccount.com"
    }
  }

  override_resource {
    target = google_service_account.deployer
    values = {
      email  = "daybook-deployer@my-project.iam.gserviceaccount.com"
      member = "serviceAccount:daybook-deployer@my-project.iam.gserviceaccount.com"
      name   = "projects/my-project/serviceAccounts/daybook-deployer@my-project.iam.gserviceaccount.com"
    }
  }

  override_resource {
    target = google_service_account.planner
    values = {
      email  = "daybook-planner@my-project.iam.gserviceaccount.com"
      member = "serviceAccount:daybook-planner@my-project.iam.gserviceaccount.com"
      name   = "projects/my-project/serviceAccounts/daybook-planner@my-project.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id = "my-project"
}

run "state_is_private_and_can_be_restored" {
  command = plan

  assert {
    condition     = google_storage_bucket.state.name == "my-project-daybook-state" && google_storage_bucket.state.versioning[0].enabled
    error_message = "An overwritten state is lost."
  }

  assert {
    condition     = google_storage_bucket.state.public_access_prevention == "enforced" && google_storage_bucket.state.uniform_bucket_level_access
    error_message = "The state could be made public."
  }
}

run "only_plans_and_old_versions_are_ever_deleted" {
  command = plan

  assert {
    condition = alltrue([
      for rule in google_storage_bucket.state.lifecycle_rule :
      try(one(rule.condition).matches_prefix == tolist(["plans/"]), false) || try(one(rule.condition).num_newer_versions >= 20 && one(rule.condition).days_since_noncurrent_time >= 90, false)
    ]) && length(google_storage_bucket.state.lifecycle_rule) == 2
    error_message = "The state, or a version of it that is still needed, would be deleted."
  }
}

run "deployer_is_no_owner" {
  command = plan

  assert {
    condition     = length(setintersection([for grant in values(google_project_iam_member.deployer) : grant.role], ["roles/editor", "roles/owner", "roles/resourcemanager.projectIamAdmin", "roles/storage.admin"])) == 0 && length([for grant in values(google_project_iam_member.deployer) : grant.role if startswith(grant.role, "roles/iam.")]) == 0
    error_message = "The deployer has a role that opens the whole project, or every account in it."
  }

  assert {
    condition     = google_project_iam_member.deployer_grants.condition[0].expression == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/cloudscheduler.jobRunner', 'roles/cloudscheduler.viewer', 'roles/logging.logWriter', 'roles/logging.viewer', 'roles/monitoring.viewer', 'roles/storage.objectViewer'])"
    error_message = "The deployer can grant other roles than Daybook's."
  }
}

run "deployer_acts_as_daybooks_accounts_and_no_others" {
  command = plan

  assert {
    condition     = toset([for account in google_service_account.daybook : account.account_id]) == toset(["daybook-build", "daybook-ledger", "daybook-run", "daybook-scheduler", "daybook-tasks"])
    error_message = "These are not the accounts that the environment's module looks up."
  }

  assert {
    condition     = toset(keys(google_service_account_iam_member.deployer_acts)) == toset(["build", "ledger", "run", "scheduler", "tasks"]) && alltrue([for grant in google_service_account_iam_member.deployer_acts : grant.role == "roles/iam.serviceAccountUser" && grant.member == "serviceAccount:daybook-deployer@my-project.iam.gserviceaccount.com"])
    error_message = "The deployer cannot act as each of Daybook's accounts, or another can."
  }

  assert {
    condition     = toset(keys(google_service_account_iam_member.deployer_grants)) == toset(["run", "tasks"]) && alltrue([for grant in google_service_account_iam_member.deployer_grants : grant.role == "roles/iam.serviceAccountAdmin" && grant.member == "serviceAccount:daybook-deployer@my-project.iam.gserviceaccount.com"])
    error_message = "The deployer writes the policies of other accounts than the module does."
  }
}

run "accounts_that_an_environment_made_are_taken_over" {
  command = plan

  assert {
    condition     = alltrue([for account in google_service_account.daybook : account.create_ignore_already_exists])
    error_message = "The bootstrap fails in a project that was set up before."
  }
}

run "checks_run_without_rights" {
  command = plan

  assert {
    condition     = google_project_iam_member.checker.role == "roles/logging.logWriter" && google_project_iam_member.checker.member == "serviceAccount:daybook-checker@my-project.iam.gserviceaccount.com"
    error_message = "The checks' account may do more than write their log."
  }

  assert {
    condition = length([
      for grant in concat(
        values(google_project_iam_member.deployer),
        values(google_project_iam_member.planner),
        values(google_service_account_iam_member.deployer_acts),
        values(google_service_account_iam_member.deployer_grants),
        values(google_storage_bucket_iam_member.state),
      ) : grant.member if grant.member == "serviceAccount:daybook-checker@my-project.iam.gserviceaccount.com"
    ]) == 0
    error_message = "The checks' account has a right besides."
  }
}

run "planner_only_reads" {
  command = plan

  assert {
    condition     = toset([for grant in google_project_iam_member.planner : grant.role]) == toset(["roles/iam.securityReviewer", "roles/logging.logWriter", "roles/storage.bucketViewer", "roles/viewer"])
    error_message = "The planner may do more than look at the project and write its log."
  }

  assert {
    condition     = google_project_iam_member.planner_source.role == "roles/storage.objectViewer" && google_project_iam_member.planner_source.condition[0].expression == "resource.name.startsWith('projects/_/buckets/my-project-daybook-source')"
    error_message = "The planner reads other buckets than that of the source archives."
  }
}

run "only_the_planner_writes_plans_and_only_once" {
  command = plan

  assert {
    condition = {
      for key, grant in google_storage_bucket_iam_member.state : key => "${split("@", grant.member)[0]} ${grant.role} ${grant.condition[0].expression}"
      } == {
      deployer_reads  = "serviceAccount:daybook-deployer roles/storage.objectViewer resource.name == 'projects/_/buckets/my-project-daybook-state' || resource.name.startsWith('projects/_/buckets/my-project-daybook-state/objects/plans/')"
      deployer_writes = "serviceAccount:daybook-deployer roles/storage.objectUser resource.name.startsWith('projects/_/buckets/my-project-daybook-state/objects/daybook/')"
      planner_locks   = "serviceAccount:daybook-planner roles/storage.objectUser resource.name.startsWith('projects/_/buckets/my-project-daybook-state/objects/daybook/') && resource.name.endsWith('.tflock')"
      planner_plans   = "serviceAccount:daybook-planner roles/storage.objectCreator resource.name.startsWith('projects/_/buckets/my-project-daybook-state/objects/plans/')"
      planner_reads   = "serviceAccount:daybook-planner roles/storage.objectViewer resource.name == 'projects/_/buckets/my-project-daybook-state' || resource.name.startsWith('projects/_/buckets/my-project-daybook-state/objects/daybook/') || resource.name.startsWith('projects/_/buckets/my-project-daybook-state/objects/plans/')"
    }
    error_message = "Others than the planner could write a plan, or it could write more."
  }

  assert {
    condition     = google_project_iam_member.deployer_storage.role == "roles/storage.admin" && google_project_iam_member.deployer_storage.condition[0].expression == "resource.name != 'projects/_/buckets/my-project-daybook-state' && !resource.name.startsWith('projects/_/buckets/my-project-daybook-state/')"
    error_message = "The deployer could give itself the right to write plans."
  }

  assert {
    condition     = alltrue([for grant in google_storage_bucket_iam_binding.owners : grant.members == toset(["projectOwner:my-project"])]) && toset(keys(google_storage_bucket_iam_binding.owners)) == toset([for kind in ["BucketOwner", "BucketReader", "ObjectOwner", "ObjectReader"] : "roles/storage.legacy${kind}"])
    error_message = "The project's editors could write plans, or its viewers read states."
  }
}

run "deployer_may_share_queries_and_read_no_private_log" {
  command = plan

  assert {
    condition     = length([for permission in google_project_iam_custom_role.shared_queries.permissions : permission if !startswith(permission, "logging.queries.")]) == 0 && contains(google_project_iam_custom_role.shared_queries.permissions, "logging.queries.share")
    error_message = "The deployer's own role opens more than shared queries, or not even them."
  }
}

run "reading_the_state_or_a_secret_leaves_a_record" {
  command = plan

  assert {
    condition     = alltrue([for service in ["iam.googleapis.com", "secretmanager.googleapis.com", "storage.googleapis.com"] : contains([for config in google_project_iam_audit_config.default[service].audit_log_config : config.log_type], "DATA_READ")])
    error_message = "Nobody could tell who read a secret or the state, or acted as one of the accounts."
  }
}

run "nobody_from_outside_deploys_unless_asked_for" {
  command = plan

  assert {
    condition     = length(google_iam_workload_identity_pool.default) == 0 && length(google_service_account_iam_member.github) == 0 && length(google_service_account_iam_member.github_planner) == 0
    error_message = "There is a federation that nobody asked for."
  }
}

run "only_one_ref_of_one_repository_is_let_in" {
  command = plan

  variables {
    github = { repository = "my-company/daybook", owner_id = "1234567" }
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.default[0].attribute_condition == "assertion.repository == 'my-company/daybook' && assertion.repository_owner_id == '1234567' && assertion.ref == 'refs/heads/main'"
    error_message = "Other workflows than those of the repository's main branch are let in."
  }

  assert {
    condition     = google_service_account_iam_member.github_planner[0].role == "roles/iam.workloadIdentityUser" && google_service_account_iam_member.github_planner[0].service_account_id == google_service_account.planner.name && endswith(google_service_account_iam_member.github_planner[0].member, "/workloadIdentityPools/daybook-github/attribute.repository/my-company/daybook")
    error_message = "The workflow cannot become the planner, or others can."
  }
}

run "only_a_job_in_the_reviewed_environment_becomes_the_deployer" {
  command = plan

  variables {
    github = { repository = "my-company/daybook", owner_id = "1234567" }
  }

  assert {
    condition     = google_service_account_iam_member.github[0].role == "roles/iam.workloadIdentityUser" && google_service_account_iam_member.github[0].service_account_id == google_service_account.deployer.name && google_service_account_iam_member.github[0].member == "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/daybook-github/subject/repo:my-company/daybook:environment:production"
    error_message = "A job that nobody approved becomes the deployer."
  }
}

run "refuses_a_pattern_of_environments" {
  command = plan

  variables {
    github = { repository = "my-company/daybook", owner_id = "1234567", environment = "*" }
  }

  expect_failures = [var.github]
}

run "refuses_a_repository_without_an_owner" {
  command = plan

  variables {
    github = { repository = "daybook", owner_id = "1234567" }
  }

  expect_failures = [var.github]
}

run "refuses_an_owner_by_name" {
  command = plan

  variables {
    github = { repository = "my-company/daybook", owner_id = "my-company" }
  }

  expect_failures = [var.github]
}

run "refuses_a_pattern_of_refs" {
  command = plan

  variables {
    github = { repository = "my-company/daybook", owner_id = "1234567", ref = "refs/heads/*" }
  }

  expect_failures = [var.github]
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

run "refuses_a_name_too_long_for_an_account" {
  command = plan

  variables {
    name = "daybook-for-the-whole-company"
  }

  expect_failures = [var.name]
}
