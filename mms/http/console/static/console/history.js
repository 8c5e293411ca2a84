// What the last five minutes were like, from snapshots of counters that only grow.

const MOST_SAMPLES = 300;
const RECENT_S = 60;

export const keyOf = (model) => JSON.stringify([model.name, model.version]);

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

class Track {
  constructor() {
    this.samples = [];
  }

  add(time, model) {
    const { good, ofClients, ofServer, times } = model.answers;
    const sample = {
      time, times, good, errors: ofClients + ofServer,
      answers: good + ofClients + ofServer,
      batches: sum(model.batches.sizes), inBatches: model.batches.requests,
      sizes: model.batches.sizes, queueTimes: model.batches.queueTimes,
      waiting: model.waiting, inFlight: model.inFlight,
    };
    const last = this.samples.at(-1);
    // The server is a new one, or the model was registered anew.
    if (last && (sample.answers < last.answers || sample.batches < last.batches)) this.samples = [];
    this.samples.push(sample);
    if (this.samples.length > MOST_SAMPLES) this.samples.shift();
  }

  // Of [time, value] for what `of` makes of two samples that follow each other.
  series(of) {
    const points = [];
    for (let index = 1; index < this.samples.length; index += 1) {
      const [before, after] = [this.samples[index - 1], this.samples[index]];
      points.push([after.time, of(before, after)]);
    }
    return points;
  }

  rates(name) {
    return this.series((before, after) => (after[name] - before[name]) / Math.max(after.time - before.time, 0.001));
  }

  values(name) {
    return this.samples.map((sample) => [sample.time, sample[name]]);
  }

  batchSizes() {
    return this.series((before, after) => {
      const batches = after.batches - before.batches;
      return batches ? (after.inBatches - before.inBatches) / batches : 0;
    });
  }

  // Of the last minute.
  recent(name) {
    const last = this.samples.at(-1);
    if (!last) return Array.isArray(last?.[name]) ? [] : 0;
    const first = this.samples.find((sample) => sample.time >= last.time - RECENT_S) ?? last;
    if (Array.isArray(last[name])) return last[name].map((number, index) => number - first[name][index]);
    return last[name] - first[name];
  }

  rate() {
    const last = this.samples.at(-1);
    const first = last && this.samples.find((sample) => sample.time >= last.time - 10);
    return last && first !== last ? (last.answers - first.answers) / (last.time - first.time) : 0;
  }
}

export class History {
  constructor() {
    this.tracks = new Map();
    this.total = new Track();
  }

  add(snapshot) {
    const known = new Set();
    const whole = {
      waiting: 0, inFlight: 0,
      answers: { good: 0, ofClients: 0, ofServer: 0, times: snapshot.timeBounds.map(() => 0).concat(0) },
      batches: {
        requests: 0, sizes: snapshot.sizeBounds.map(() => 0).concat(0),
        queueTimes: snapshot.timeBounds.map(() => 0).concat(0),
      },
    };
    for (const model of snapshot.models) {
      const key = keyOf(model);
      known.add(key);
      if (!this.tracks.has(key)) this.tracks.set(key, new Track());
      this.tracks.get(key).add(snapshot.time, model);
      whole.waiting += model.waiting;
      whole.inFlight += model.inFlight;
      for (const name of ["good", "ofClients", "ofServer"]) whole.answers[name] += model.answers[name];
      model.answers.times.forEach((number, index) => { whole.answers.times[index] += number; });
      whole.batches.requests += model.batches.requests;
      model.batches.sizes.forEach((number, index) => { whole.batches.sizes[index] += number; });
      model.batches.queueTimes.forEach((number, index) => { whole.batches.queueTimes[index] += number; });
    }
    for (const key of this.tracks.keys()) if (!known.has(key)) this.tracks.delete(key);
    this.total.add(snapshot.time, whole);
  }

  of(model) {
    return this.tracks.get(keyOf(model)) ?? new Track();
  }
}
