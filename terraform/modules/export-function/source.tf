locals {
  source_root = coalesce(var.source_root, "${path.module}/../../..")

  # local/ is the embedded MongoDB and the sample data, which no function needs. The same
  # files as .gcloudignore lets through.
  source_files = concat(["main.py", "requirements.txt"], sort([
    for file in fileset(local.source_root, "src/**") : file
    if !can(regex("^src/daybook/local/|(^|/)(__pycache__|build|[^/]+\\.egg-info)/|\\.pyc$", file))
  ]))

  # With this, the buildpack's compileall writes bytecode that is valid for the content of a
  # file. By default it is valid for the file's time, which the image then replaces by 1980: the
  # bytecode is never used, and every cold start compiles all of Daybook, for some 0.15 s.
  # https://docs.python.org/3/library/py_compile.html#py_compile.PycInvalidationMode
  build_environment = { SOURCE_DATE_EPOCH = "315532800" }
}

data "archive_file" "source" {
  type             = "zip"
  output_path      = "${path.root}/.terraform/${var.name}-source.zip"
  output_file_mode = "0644"

  dynamic "source" {
    for_each = local.source_files

    content {
      filename = source.value
      content  = file("${local.source_root}/${source.value}")
    }
  }
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:The audit log that the bootstrap turns on records each access; usage logs would only add a second bucket.
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-source"
  location                    = var.region
  labels                      = local.labels
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true
  # Everything in it can be made again, and the old versions of deleted archives, which
  # Terraform does not know, would keep the bucket from being destroyed.
  force_destroy = true

  versioning {
    enabled = true
  }

  # Each archive has its own name, so only deleted ones ever become old versions.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
    }
  }

  depends_on = [google_project_service.default]
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  # The name changes with the content: that is what makes Terraform deploy again.
  name         = "${var.name}-${data.archive_file.source.output_sha256}.zip"
  source       = data.archive_file.source.output_path
  content_type = "application/zip"
}

resource "google_artifact_registry_repository" "default" {
  #checkov:skip=CKV_GCP_84:The images hold public packages and this source, no data and no secret, so Google's own key is enough.
  project       = var.project_id
  location      = var.region
  repository_id = var.name
  description   = "Images of Daybook's functions"
  format        = "DOCKER"
  labels        = local.labels

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
      tag_state  = "ANY"
    }
  }

  depends_on = [google_project_service.default]
}
