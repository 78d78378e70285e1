# Fill in and commit: terraform plan -var-file=staging.tfvars. No secret belongs here.
environment     = "staging"
project_id      = "my-company-daybook-staging"
region          = "asia-southeast1"
drive_folder_id = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
operators       = ["operator@example.com"]

# The evening's batch waits until everything is set up; false switches it on.
paused = true

# Who gets the alerts.
notification_emails = ["operator@example.com"]

# What these leave out has its default; README.md has every attribute. Capacity: docs/capacity.md.
# function  = { memory = "2Gi" }
# limits    = { duration_seconds = 60, entries = 10000 }
# schedules = { batch = "0 19 * * *", time_zone = "Asia/Bangkok", watchdog = "0 21 * * *" }
# settings  = { language = "th" }

# Where an alert's link to its chapter leads.
runbook = "https://git.example.com/daybook/docs/runbook.md"

# The secrets exist: docs/deploy.md, step 2.
secrets = {
  DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" }
  # DAYBOOK_ALERT_URLS   = { secret_id = "daybook-alert-urls" }
  # DAYBOOK_RECEIPT_URLS = { secret_id = "daybook-receipt-urls" }
}

# One address for the allow-list of MongoDB Atlas; costs a Cloud NAT.
static_egress = true

# The ledger, and who may call which of its routes (docs/security.md says what each allows).
# ledger_enabled = true
# ledger_callers = {
#   "/wallets/{ownerUserId}"         = ["shop@my-company-shop.iam.gserviceaccount.com"]
#   "/wallets/{ownerUserId}/credits" = ["payments@my-company-shop.iam.gserviceaccount.com"]
#   "/wallets/{ownerUserId}/debits"  = ["shop@my-company-shop.iam.gserviceaccount.com"]
# }
