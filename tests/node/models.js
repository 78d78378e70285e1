// What the application's own models look like. Unknown fields are errors, not ignored.
"use strict";

const { Schema, model } = require("mongoose");

// `daybook migrate` builds the indexes: docs/cutover.md.
const strict = { strict: "throw", timestamps: true, versionKey: false, autoIndex: false };
const part = { _id: false, strict: "throw" };

const lineSchema = new Schema(
  {
    accountCode: { type: String, required: true },
    accountName: String,
    debit: Number,
    credit: Number,
    description: String,
  },
  part
);

const entrySchema = new Schema(
  {
    date: { type: Date, required: true },
    reference: String,
    description: String,
    currency: { type: String, default: "THB" },
    lines: { type: [lineSchema], default: undefined },
    amount: Schema.Types.Decimal128,
  },
  strict
);

const itemSchema = new Schema(
  {
    entryId: { type: Schema.Types.ObjectId, required: true },
    profile: String,
    exportPath: { type: String, enum: ["scheduled", "manual"], required: true },
    status: { type: String, enum: ["queued", "completed", "failed"], default: "queued" },
    metadata: new Schema({ batchDate: String, fileId: String, webViewLink: String }, part),
    error: new Schema(
      { reason: String, batchDate: String, detail: String, faults: [{}], faultCount: Number },
      part
    ),
  },
  strict
);

const logSchema = new Schema(
  {
    queueId: { type: Schema.Types.ObjectId, default: null },
    action: {
      type: String,
      enum: [
        ...["csv_generated", "batch_empty", "entry_rejected", "manual_export"],
        ...["entry_requeued", "operator_request"],
      ],
      required: true,
    },
    message: { type: String, required: true },
    performedBy: { type: String, required: true },
    metadata: Schema.Types.Mixed,
  },
  strict
);

module.exports = {
  Entry: model("JournalEntry", entrySchema, "journalentries"),
  Item: model("ExportQueue", itemSchema, "exportqueues"),
  Log: model("ExportLog", logSchema, "exportlogs"),
};
