#!/usr/bin/env bash
# After a deployment: is the database there, could a batch run, is the set-up right?
#
#     ops/smoke.sh PROJECT REGION [NAME]
#
# The function may be reachable from inside only, so nothing is called directly. Scheduler
# jobs are forced, as they call at any other time: GET /health/cron (NAME-probe, where there
# is one), POST /run with a dry run (NAME-dry-run), POST /admin/doctor (NAME-doctor). Their
# answers are read from the log. Nothing is written and no file is made.
#
# Needs roles/cloudscheduler.jobRunner, roles/cloudscheduler.viewer and roles/logging.viewer.
# Exit code 1: something was answered wrongly, or not within SMOKE_SECONDS (300).
set -euo pipefail

project=${1:?usage: ops/smoke.sh PROJECT REGION [NAME]}
region=${2:?usage: ops/smoke.sh PROJECT REGION [NAME]}
name=${3:-daybook}
patience=${SMOKE_SECONDS:-300}
pause=${SMOKE_PAUSE_SECONDS:-5}
attempt_finished='type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished'

# The newest record's field, once there is one.
read_log() {
  local filter=$1 field=$2 deadline=$((SECONDS + patience)) found
  while :; do
    found=$(gcloud logging read "$filter" --project="$project" --limit=1 --format="value($field)")
    if [ -n "$found" ]; then
      echo "$found"
      return
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "no record within $patience s: $filter" >&2
      return 1
    fi
    sleep "$pause"
  done
}

# Forces a job, and fails unless it was answered with 200.
call() {
  local job=$name-$1 status
  started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  gcloud scheduler jobs run "$job" --project="$project" --location="$region" --quiet
  status=$(read_log "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"$job\" AND jsonPayload.\"@type\"=\"$attempt_finished\" AND timestamp>=\"$started\"" httpRequest.status)
  echo "$job: $status"
  [ "$status" = 200 ]
}

if gcloud scheduler jobs describe "$name-probe" --project="$project" --location="$region" >/dev/null 2>&1; then
  call probe
fi
call dry-run
call doctor

of_doctor="resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"$name\" AND jsonPayload.event=\"examined\" AND timestamp>=\"$started\""
found=$(read_log "$of_doctor" jsonPayload.status)
if [ "$found" != ok ]; then
  echo "doctor: $found" >&2
  read_log "$of_doctor" jsonPayload.message >&2
  exit 1
fi
echo "doctor: ok"
