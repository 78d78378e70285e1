// Carries out a list of steps, [[name, argument], …] as extended JSON on stdin, in the database
// MONGODB_URI and DATABASE, and prints what each step returned.
"use strict";

const mongoose = require("mongoose");
const { EJSON } = require("bson");
const medici = require("medici");
const { Entry, Item, Log } = require("./models");

const book = new medici.Book("company");

const steps = {
  // Both collections under other names, as an application may have them.
  async rename({ journals, transactions }) {
    medici.setJournalSchema(mongoose.model("Medici_Journal").schema.clone(), journals);
    medici.setTransactionSchema(mongoose.model("Medici_Transaction").schema.clone(), transactions);
  },

  async init() {
    await medici.initModels();
  },

  async journal({ memo, date, lines, queued = true }) {
    const entry = book.entry(memo, date);
    for (const { account, debit, credit, ...meta } of lines) {
      if (debit !== undefined) entry.debit(account, debit, meta);
      else entry.credit(account, credit, meta);
    }
    const journal = await entry.commit();
    return queued ? steps.queue({ entryId: journal._id }) : journal._id;
  },

  // Returns the reversal's ID.
  async void({ id, reason }) {
    const reversal = await book.void(id, reason, {}, true);
    return steps.queue({ entryId: reversal._id });
  },

  async entry(fields) {
    const entry = await Entry.create(fields);
    return steps.queue({ entryId: entry._id });
  },

  async queue({ entryId, ...fields }) {
    await Item.create({ entryId, exportPath: "scheduled", ...fields });
    return entryId;
  },

  // Reads everything that Daybook has written, and saves each document as it is.
  async resave() {
    const counts = {};
    for (const Model of [Item, Log]) {
      counts[Model.collection.name] = 0;
      for (const stored of await Model.collection.find().toArray()) {
        await new Model(stored).validate(); // throws for a field that the schema does not have
        const found = await Model.findById(stored._id).orFail();
        for (const path of Object.keys(stored)) {
          if (path !== "_id") found.markModified(path);
        }
        await found.save();
        counts[Model.collection.name] += 1;
      }
    }
    return counts;
  },
};

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  await mongoose.connect(process.env.MONGODB_URI, { dbName: process.env.DATABASE });
  try {
    const results = [];
    for (const [name, given] of EJSON.parse(text)) {
      results.push(await steps[name](given));
    }
    process.stdout.write(EJSON.stringify(results));
  } finally {
    await mongoose.disconnect();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
