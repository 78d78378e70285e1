mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      email  = "daybook-deployer@my-project.iam.gserviceaccount.com"
      member = "serviceAccount:daybook-deployer@my-project.iam.gserviceaccount.com"
      name   = "projects/my-project/serviceAccounts/daybook-deployer@my-project.iam.gserviceaccount.com"
    }
  }

  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/123456789012/locations/global/workloadIdentityPools/daybook-github" }
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
    condition     = length(setintersection([for grant in concat(values(google_project_iam_member.deployer), values(google_project_iam_member.deployer_accounts)) : grant.role], ["roles/editor", "roles/owner", "roles/resourcemanager.projectIamAdmin", "roles/iam.securityAdmin", "roles/iam.serviceAccountKeyAdmin", "roles/iam.serviceAccountTokenCreator"])) == 0
    error_message = "The deployer has a role that opens the whole project."
  }

  assert {
    condition     = google_project_iam_member.deployer_grants.condition[0].expression == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/cloudscheduler.jobRunner', 'roles/cloudscheduler.viewer', 'roles/logging.logWriter', 'roles/logging.viewer', 'roles/monitoring.viewer', 'roles/storage.objectViewer'])"
    error_message = "The deployer can grant other roles than Daybook's."
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
    condition     = alltrue([for service in ["secretmanager.googleapis.com", "storage.googleapis.com"] : contains([for config in google_project_iam_audit_config.default[service].audit_log_config : config.log_type], "DATA_READ")])
    error_message = "Nobody could tell who read a secret or the state."
  }
}

run "nobody_from_outside_deploys_unless_asked_for" {
  command = plan

  assert {
    condition     = length(google_iam_workload_identity_pool.default) == 0 && length(google_service_account_iam_member.github) == 0
    error_message = "There is a federation that nobody asked for."
  }
}

run "only_one_ref_of_one_repository_becomes_the_deployer" {
  command = plan

  override_resource {
    target          = google_iam_workload_identity_pool.default
    override_during = plan
    values          = { name = "projects/123456789012/locations/global/workloadIdentityPools/daybook-github" }
  }

  variables {
    github = { repository = "my-company/daybook", owner_id = "1234567" }
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.default[0].attribute_condition == "assertion.repository == 'my-company/daybook' && assertion.repository_owner_id == '1234567' && assertion.ref == 'refs/heads/main'"
    error_message = "Other workflows than those of the repository's main branch are let in."
  }

  assert {
    condition     = google_service_account_iam_member.github[0].role == "roles/iam.workloadIdentityUser" && endswith(google_service_account_iam_member.github[0].member, "/workloadIdentityPools/daybook-github/attribute.repository/my-company/daybook")
    error_message = "The workflow cannot become the deployer, or others can."
  }
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
