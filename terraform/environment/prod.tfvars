# Fill in and commit: terraform plan -var-file=prod.tfvars. No secret belongs here; staging.tfvars
# has more examples, and README.md every variable.
environment     = "prod"
project_id      = "my-company-daybook-prod"
region          = "asia-southeast1"
drive_folder_id = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
operators       = ["operator@example.com"]

# The evening's batch waits until everything is set up; false switches it on.
paused = true

# Who gets the alerts.
notification_emails = ["operator@example.com"]

# Where an alert's link to its chapter leads.
runbook = "https://git.example.com/daybook/docs/runbook.md"

# The secrets exist: docs/deploy.md, step 2.
secrets = {
  DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" }
}

# One address for the allow-list of MongoDB Atlas; costs a Cloud NAT.
static_egress = true
