mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_data "google_service_account" {
  defaults = { unique_id = "101010101010101010101" }
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
