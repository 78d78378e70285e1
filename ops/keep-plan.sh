#!/bin/sh
# Uploads plan.tgz and plan.txt, unless there are any already.
#
#     cd terraform/environment && ../../ops/keep-plan.sh gs://BUCKET/plans/ENVIRONMENT/COMMIT
set -eu
folder=${1:?usage: ops/keep-plan.sh FOLDER}

for file in plan.tgz plan.txt; do
  # Generation 0 is an object that does not exist.
  # https://cloud.google.com/storage/docs/request-preconditions#special-case
  gcloud storage cp --if-generation-match=0 "$file" "$folder/$file" || {
    echo "$folder/$file was not written. A plan that is there is never replaced (412):" \
      "cloudbuild.yaml says how to make another one of the same commit." >&2
    exit 1
  }
done
