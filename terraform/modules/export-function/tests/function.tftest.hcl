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
  secrets         = { DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" } }
  source_root     = "./tests/source"
}

run "function_is_built_from_the_archive_on_python_313" {
  assert {
    condition     = google_cloudfunctions2_function.default.build_config[0].runtime == "python313" && google_cloudfunctions2_function.default.build_config[0].entry_point == "daybook"
    error_message = "The runtime or the entry point is another."
  }

  assert {
    condition     = google_storage_bucket_object.source.name == "daybook-${data.archive_file.source.output_sha256}.zip" && can(regex("-[0-9a-f]{64}\\.zip$", google_storage_bucket_object.source.name))
    error_message = "The archive's name does not carry its content's hash, so that new code would not be deployed."
  }

  assert {
    condition     = google_cloudfunctions2_function.default.build_config[0].source[0].storage_source[0].object == google_storage_bucket_object.source.name
    error_message = "The function is built from another object."
  }
}

run "archive_holds_what_the_function_needs_and_nothing_else" {
  assert {
    condition     = join(" ", output.source_files) == "main.py requirements.txt src/daybook/app.py src/daybook/py.typed"
    error_message = "The archive holds other files than it should: ${join(", ", output.source_files)}"
  }
}

run "archive_is_made_of_the_repository_itself" {
  command = plan

  variables {
    source_root = null
  }

  assert {
    condition     = length(setsubtract(["main.py", "requirements.txt", "src/daybook/http/routes.py", "src/daybook/export/run.py", "src/daybook/py.typed"], output.source_files)) == 0
    error_message = "The archive lacks something that the function needs."
  }

  assert {
    condition     = length([for file in output.source_files : file if !can(regex("^(main\\.py|requirements\\.txt|src/daybook/.+)$", file)) || can(regex("__pycache__|\\.pyc$|^src/daybook/local/", file))]) == 0
    error_message = "The archive holds more than the function needs: ${join(", ", output.source_files)}"
  }
}

run "source_bucket_does_not_outlive_what_it_is_for" {
  assert {
    condition     = google_storage_bucket.source.versioning[0].enabled && google_storage_bucket.source.force_destroy
    error_message = "Old versions of deleted archives keep the bucket from being destroyed."
  }

  assert {
    condition     = google_storage_bucket.source.public_access_prevention == "enforced" && google_storage_bucket.source.uniform_bucket_level_access
    error_message = "The source could be made public."
  }
}

# The default ones have no rights in a new project, or far too many in an old one.
run "functions_are_built_by_an_account_and_into_a_repository_of_their_own" {
  variables {
    ledger_enabled = true
  }

  assert {
    condition     = alltrue([for function in concat([google_cloudfunctions2_function.default], google_cloudfunctions2_function.ledger) : function.build_config[0].service_account == "projects/${var.project_id}/serviceAccounts/${local.emails.build}"])
    error_message = "A function is built by another account."
  }

  assert {
    condition     = alltrue([for function in concat([google_cloudfunctions2_function.default], google_cloudfunctions2_function.ledger) : function.build_config[0].docker_repository == google_artifact_registry_repository.default.id])
    error_message = "A function's image goes to another repository, which the builder cannot write to."
  }

  assert {
    condition     = google_artifact_registry_repository_iam_member.build.role == "roles/artifactregistry.writer" && google_artifact_registry_repository_iam_member.build.member == "serviceAccount:daybook-build@my-project.iam.gserviceaccount.com"
    error_message = "The builder cannot write the image, or may do more."
  }
}

run "ledger_is_of_the_same_kind" {
  variables {
    ledger_enabled = true
  }

  assert {
    condition     = google_cloudfunctions2_function.ledger[0].build_config[0].runtime == "python313" && google_cloudfunctions2_function.ledger[0].build_config[0].source[0].storage_source[0].object == google_storage_bucket_object.source.name
    error_message = "The ledger is built of other code, or for another Python."
  }

  assert {
    condition     = alltrue([for function in concat([google_cloudfunctions2_function.default], google_cloudfunctions2_function.ledger) : function.build_config[0].environment_variables["SOURCE_DATE_EPOCH"] == "315532800"])
    error_message = "The bytecode of the build is not used: each cold start compiles everything."
  }

  assert {
    condition     = google_cloudfunctions2_function.ledger[0].service_config[0].max_instance_request_concurrency >= 2 && google_cloudfunctions2_function.ledger[0].service_config[0].available_cpu == "1" && google_cloudfunctions2_function.ledger[0].service_config[0].max_instance_count == 3
    error_message = "The ledger answers requests that overlap with 429, or its instances are not limited."
  }
}

run "a_deployment_takes_all_traffic" {
  variables {
    ledger_enabled = true
  }

  assert {
    condition     = alltrue([for function in concat([google_cloudfunctions2_function.default], google_cloudfunctions2_function.ledger) : function.service_config[0].all_traffic_on_latest_revision])
    error_message = "After a rollback by hand a new version would get no traffic."
  }
}

run "services_are_enabled_and_stay_so" {
  assert {
    condition     = toset([for service in google_project_service.default : service.service]) == toset(local.services) && length(setsubtract(["cloudbuild.googleapis.com", "cloudfunctions.googleapis.com", "cloudscheduler.googleapis.com", "cloudtasks.googleapis.com", "drive.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com"], local.services)) == 0
    error_message = "A service that is needed is not enabled."
  }

  assert {
    condition     = alltrue([for service in google_project_service.default : !service.disable_on_destroy])
    error_message = "Destroying Daybook would take a service away from others."
  }
}

run "requests_that_overlap_find_room" {
  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].max_instance_request_concurrency >= 2 && google_cloudfunctions2_function.default.service_config[0].available_cpu == "1" && google_cloudfunctions2_function.default.service_config[0].max_instance_count == 3
    error_message = "A redelivery during a run would get 429, or instances are not limited."
  }
}

run "settings_reach_the_function_as_it_reads_them" {
  variables {
    settings = { retry_delays_seconds = [60, 120], upload_chunk_bytes = 16777216, csv_timeout_seconds = 12.5, mongo_min_pool_size = 2 }
  }

  assert {
    condition = {
      for name in ["DAYBOOK_RETRY_DELAYS_SECONDS", "DAYBOOK_UPLOAD_CHUNK_BYTES", "DAYBOOK_CSV_TIMEOUT_SECONDS", "DAYBOOK_MONGO_MIN_POOL_SIZE", "DAYBOOK_DESTINATION", "GOOGLE_CLOUD_PROJECT"] :
      name => google_cloudfunctions2_function.default.service_config[0].environment_variables[name]
      } == {
      DAYBOOK_RETRY_DELAYS_SECONDS = "60,120"
      DAYBOOK_UPLOAD_CHUNK_BYTES   = "16777216"
      DAYBOOK_CSV_TIMEOUT_SECONDS  = "12.5"
      DAYBOOK_MONGO_MIN_POOL_SIZE  = "2"
      DAYBOOK_DESTINATION          = "drive://1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
      GOOGLE_CLOUD_PROJECT         = "my-project"
    }
    error_message = "A setting did not reach the function, or in another form."
  }
}

run "settings_without_a_value_are_left_to_the_function" {
  assert {
    condition     = length(setintersection(keys(google_cloudfunctions2_function.default.service_config[0].environment_variables), ["DAYBOOK_DRIVE_ENDPOINT", "DAYBOOK_DRIVE_SUBJECT", "DAYBOOK_MONGO_MIN_POOL_SIZE", "DAYBOOK_TASKS_ENDPOINT"])) == 0
    error_message = "A setting without a value is set all the same."
  }
}

run "traffic_leaves_by_itself_unless_an_address_is_asked_for" {
  assert {
    condition     = length(google_cloudfunctions2_function.default.service_config[0].direct_vpc_network_interface) == 0 && length(google_compute_router_nat.default) == 0 && output.egress_address == null
    error_message = "There is a network that nobody asked for."
  }

  assert {
    condition     = !contains(local.services, "compute.googleapis.com")
    error_message = "Compute Engine is enabled although nothing needs it."
  }
}

run "all_traffic_leaves_through_one_address" {
  variables {
    ledger_enabled = true
    static_egress  = {}
  }

  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC" && length(google_cloudfunctions2_function.default.service_config[0].direct_vpc_network_interface) == 1
    error_message = "The function's traffic does not all go through the network."
  }

  assert {
    condition     = google_cloudfunctions2_function.ledger[0].service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC" && length(google_cloudfunctions2_function.ledger[0].service_config[0].direct_vpc_network_interface) == 1
    error_message = "The ledger's traffic does not all go through the network."
  }

  # By name: the subnet's own link to its network is written in another way after each reading,
  # and the functions would be deployed again.
  assert {
    condition     = alltrue([for function in concat([google_cloudfunctions2_function.default], google_cloudfunctions2_function.ledger) : one(function.service_config[0].direct_vpc_network_interface).network == "daybook" && one(function.service_config[0].direct_vpc_network_interface).subnetwork == "daybook"])
    error_message = "A function is in another network, or names it in a way that changes."
  }

  assert {
    condition     = google_compute_router_nat.default[0].nat_ip_allocate_option == "MANUAL_ONLY" && one(google_compute_router_nat.default[0].nat_ips) == google_compute_address.default[0].self_link
    error_message = "The address can change."
  }

  assert {
    condition     = output.egress_address == "203.0.113.7" && google_compute_subnetwork.default[0].private_ip_google_access
    error_message = "The address is not given, or Google's services cannot be reached from the subnet."
  }
}

run "nothing_comes_in_through_the_network" {
  variables {
    static_egress = {}
  }

  assert {
    condition     = google_compute_firewall.default[0].direction == "INGRESS" && one(google_compute_firewall.default[0].deny).protocol == "all" && length(google_compute_firewall.default[0].allow) == 0 && one(google_compute_firewall.default[0].source_ranges) == "0.0.0.0/0"
    error_message = "The network lets connections in."
  }
}

run "the_chart_of_accounts_is_handed_on_as_json" {
  variables {
    ledger_enabled = true
    settings       = { ledger_accounts = { types = { topup = { code = "1120", name = "Krungthai Bank" } } } }
  }

  assert {
    condition     = jsondecode(google_cloudfunctions2_function.ledger[0].service_config[0].environment_variables.DAYBOOK_LEDGER_ACCOUNTS) == { types = { topup = { code = "1120", name = "Krungthai Bank" } } }
    error_message = "The ledger does not get the chart of accounts, or gets nulls with it."
  }
}
