#!/bin/sh
# Fails unless the trigger daybook-check has passed a commit.
#
#     ops/checked.sh PROJECT REGION COMMIT
#
# Needs roles/cloudbuild.builds.viewer.
set -eu
project=${1:?usage: ops/checked.sh PROJECT REGION COMMIT}
region=${2:?usage: ops/checked.sh PROJECT REGION COMMIT}
commit=${3:?usage: ops/checked.sh PROJECT REGION COMMIT}

# Cloud Build itself sets both substitutions: own ones begin with an underscore.
build=$(gcloud builds list --project="$project" --region="$region" --limit=1 --format='value(id)' \
  --filter="substitutions.TRIGGER_NAME=\"daybook-check\" AND substitutions.COMMIT_SHA=\"$commit\" AND status=\"SUCCESS\"")
if [ -z "$build" ]; then
  echo "Commit $commit has no successful build of the trigger daybook-check in $region, so it is" \
    "not applied. If the checks are still running, wait for them and retry this build." >&2
  exit 1
fi
echo "checked by build $build"
