mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_resource "google_service_account" {
  defaults = {
    email     = "account@my-project.iam.gserviceaccount.com"
    member    = "serviceAccount:account@my-project.iam.gserviceaccount.com"
    name      = "projects/my-project/serviceAccounts/account@my-project.iam.gserviceaccount.com"
    unique_id = "101010101010101010101"
  }
}

mock_resource "google_cloud_tasks_queue" {
  defaults = { id = "projects/my-project/locations/asia-southeast1/queues/daybook" }
}

mock_resource "google_secret_manager_secret_version" {
  defaults = { version = "7" }
}

mock_resource "google_compute_address" {
  defaults = { address = "203.0.113.7" }
}

mock_resource "google_artifact_registry_repository" {
  defaults = { id = "projects/my-project/locations/asia-southeast1/repositories/daybook" }
}

override_resource {
  target = google_service_account.build
  values = {
    email  = "daybook-build@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:daybook-build@my-project.iam.gserviceaccount.com"
    name   = "projects/my-project/serviceAccounts/daybook-build@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.ledger
  values = {
    email  = "daybook-ledger@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:daybook-ledger@my-project.iam.gserviceaccount.com"
    name   = "projects/my-project/serviceAccounts/daybook-ledger@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.runtime
  values = {
    email  = "daybook-run@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:daybook-run@my-project.iam.gserviceaccount.com"
    name   = "projects/my-project/serviceAccounts/daybook-run@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.scheduler
  values = {
    email  = "daybook-scheduler@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:daybook-scheduler@my-project.iam.gserviceaccount.com"
    name   = "projects/my-project/serviceAccounts/daybook-scheduler@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.tasks
  values = {
    email  = "daybook-tasks@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:daybook-tasks@my-project.iam.gserviceaccount.com"
    name   = "projects/my-project/serviceAccounts/daybook-tasks@my-project.iam.gserviceaccount.com"
  }
}
