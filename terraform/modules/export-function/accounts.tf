locals {
  # The bootstrap makes them, and the deployer acts as no others: terraform/bootstrap/accounts.tf.
  emails = {
    for key in ["build", "ledger", "run", "scheduler", "tasks"] : key => "${var.name}-${key}@${var.project_id}.iam.gserviceaccount.com"
  }
  members = { for key, email in local.emails : key => "serviceAccount:${email}" }
}

# A plan fails here, with an account's name, when the bootstrap has not been applied.
data "google_service_account" "default" {
  for_each = local.emails

  project    = var.project_id
  account_id = each.value
}

# Where the environment made them, before the bootstrap did: they stay, and so does what they
# may do in Drive and in the database.

removed {
  from = google_service_account.build

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.ledger

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.runtime

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.scheduler

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.tasks

  lifecycle {
    destroy = false
  }
}
