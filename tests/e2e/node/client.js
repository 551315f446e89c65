// A channel written against the .proto files alone: node client.js ADDRESS PROTO_FOLDER GOOGLE_FOLDER SCENARIO
// INVENGINE_CA encrypts, INVENGINE_TOKEN says who calls. Prints what the scenario answered as one JSON object;
// test_node_client.py judges it.
'use strict';

const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');
const { GrpcReflection } = require('grpc-js-reflection-client');

const [address, protoFolder, googleFolder, scenario] = process.argv.slice(2);
const OPTIONS = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const SERVICES = ['AvailabilityService', 'ReservationService', 'StockService', 'NetworkService', 'AdminService'];
const credentials = credentialsOf(process.env.INVENGINE_CA, process.env.INVENGINE_TOKEN);

const NETWORK = `
locations:
  DC: {priority: 10}
  SHOP: {kind: store, priority: 20, fulfilments: [ship, pickup]}
groups:
  all: [DC, SHOP]
channels:
  web: {groups: [all], low_stock_threshold: 3}
`;

// Plain; or TLS, with a token in the metadata of every call.
function credentialsOf(ca, token) {
  if (!ca) return grpc.credentials.createInsecure();
  const encrypted = grpc.credentials.createSsl(fs.readFileSync(ca));
  if (!token) return encrypted;
  const signing = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    done(null, metadata);
  });
  return grpc.credentials.combineChannelCredentials(encrypted, signing);
}

// Every service of the package as grpc-js makes it from the .proto files.
function byProtoFiles() {
  const file = (service) => `invengine/v1/${service.replace('Service', '').toLowerCase()}_service.proto`;
  const definition = protoLoader.loadSync(SERVICES.map(file), { ...OPTIONS, includeDirs: [protoFolder] });
  return grpc.loadPackageDefinition(definition).invengine.v1;
}

// A unary call as a promise, with a deadline.
function call(client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = new Date(Date.now() + 20000);
    client[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

// The typed details of a refused call: google.rpc.Status holds Any values, one of them our Refusal.
function refusalOf(error) {
  const root = new protobuf.Root();
  const folder = (file) => (file.startsWith('google/rpc/') ? googleFolder : protoFolder);
  root.resolvePath = (_, file) => (file in protobuf.common ? file : path.join(folder(file), file));
  root.loadSync(['invengine/v1/common.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto'],
    { keepCase: true });
  const status = root.lookupType('google.rpc.Status').decode(error.metadata.get('grpc-status-details-bin')[0]);
  const found = { grpc_code: grpc.status[error.code], code: status.code, message: status.message };
  for (const any of status.details) {
    const type = root.lookupType(any.type_url.split('/').pop());
    found[type.name] = type.toObject(type.decode(any.value), { longs: String, enums: String, defaults: true });
  }
  return found;
}

async function prepare(v1) {
  const network = new v1.NetworkService(address, credentials);
  const applied = await call(network, 'ApplyNetwork', { request_id: 'node-network', document: NETWORK });
  const movements = [
    { source: 'node', event_id: 'n1', kind: 'KIND_RECEIPT', sku: 'LAMP', location: 'DC', quantity: '5' },
    { source: 'node', event_id: 'n2', kind: 'KIND_RECEIPT', sku: 'LAMP', location: 'SHOP', quantity: '2' },
    { source: 'node', event_id: 'n3', kind: 'KIND_COUNT', sku: 'RUG', location: 'SHOP', quantity: '9007199254740991' },
  ];
  const stock = new v1.StockService(address, credentials);
  const posted = await call(stock, 'PostMovements', { movements });
  return { applied, posted };
}

function stream(client, queries) {
  return new Promise((resolve, reject) => {
    const answers = [];
    const duplex = client.StreamAvailability({ deadline: new Date(Date.now() + 20000) });
    duplex.on('data', (answer) => answers.push(answer));
    duplex.on('error', reject);
    duplex.on('end', () => resolve(answers));
    queries.forEach((query) => duplex.write(query));
    duplex.end();
  });
}

const scenarios = {
  async shopping() {
    const v1 = byProtoFiles();
    const { applied, posted } = await prepare(v1);
    const availability = new v1.AvailabilityService(address, credentials);
    const reservations = new v1.ReservationService(address, credentials);
    const fresh = (token) => ({ at_least_as_fresh: token });
    const before = await call(availability, 'GetAvailability',
      { sku: 'LAMP', channel: 'web', consistency: fresh(posted.consistency_token) });
    const wanted = {
      request_id: 'node-r1', channel: 'web', cart_ref: 'cart-1', time_to_live: { seconds: '600' },
      lines: [{ sku: 'LAMP', quantity: '6', allow_split: true }],
    };
    const reserved = await call(reservations, 'CreateReservation', wanted);
    const repeated = await call(reservations, 'CreateReservation', wanted);
    const confirmed = await call(reservations, 'ConfirmReservation', {
      request_id: 'node-r2', reservation_id: reserved.reservation.reservation_id, channel: 'web', order_ref: 'order-1',
    });
    const after = await call(availability, 'GetAvailability',
      { sku: 'LAMP', channel: 'web', consistency: fresh(confirmed.consistency_token) });
    const listed = await call(reservations, 'ListReservations', { order_ref: 'order-1' });
    return { applied, posted, before, reserved, repeated, confirmed, after, listed };
  },

  async refused() {
    const v1 = byProtoFiles();
    await prepare(v1);
    const reservations = new v1.ReservationService(address, credentials);
    const attempts = {
      short: { request_id: 'node-x1', channel: 'web', lines: [{ line_id: 'a', sku: 'RUG', quantity: '1', location: 'DC' },
        { line_id: 'b', sku: 'LAMP', quantity: '1000000' }] },
      unknown_channel: { request_id: 'node-x2', channel: 'webb', lines: [{ sku: 'LAMP', quantity: '1' }] },
      bad: { request_id: 'node-x3', channel: 'web', lines: [{ sku: 'LAMP', quantity: '0' }] },
    };
    const answers = {};
    for (const [name, request] of Object.entries(attempts)) {
      answers[name] = await call(reservations, 'CreateReservation', request).then(
        () => { throw new Error(`${name} was not refused`); }, refusalOf);
    }
    return answers;
  },

  async columns() {
    const v1 = byProtoFiles();
    const { posted } = await prepare(v1);
    const availability = new v1.AvailabilityService(address, credentials);
    const consistency = { at_least_as_fresh: posted.consistency_token };
    const skus = ['RUG', 'NOTHING', 'LAMP', 'RUG'];
    const columns = await call(availability, 'BatchGetAvailability', { skus, channel: 'web', consistency });
    const totals = await call(availability, 'BatchGetAvailability',
      { skus, channel: 'web', totals_only: true, fulfilment: 'FULFILMENT_PICKUP', consistency });
    return { columns, totals };
  },

  async streaming() {
    const v1 = byProtoFiles();
    const { posted } = await prepare(v1);
    const availability = new v1.AvailabilityService(address, credentials);
    await call(availability, 'GetAvailability', // the server's state is as fresh as the stock from here on
      { sku: 'RUG', channel: 'web', consistency: { at_least_as_fresh: posted.consistency_token } });
    const queries = [{ query_id: '1', sku: 'RUG', channel: 'web' }, { query_id: '2', sku: 'NOTHING' },
      { query_id: '3', sku: 'RUG', group: 'nowhere' }, { query_id: '4', sku: 'RUG', group: 'all' }];
    for (let id = 5; id <= 500; id += 1) queries.push({ query_id: String(id), sku: 'RUG' });
    return { answers: await stream(availability, queries) };
  },

  // Reserves a LAMP while it watches them; no request names a channel.
  async secured() {
    const v1 = byProtoFiles();
    const availability = new v1.AvailabilityService(address, credentials);
    const reservations = new v1.ReservationService(address, credentials);
    const watching = availability.WatchAvailability({ skus: ['LAMP'] }, { deadline: new Date(Date.now() + 20000) });
    const seen = [];
    let reserved = null;
    await new Promise((resolve, reject) => {
      watching.on('error', reject);
      watching.on('data', (message) => {
        seen.push(...message.changes.map((change) => change.available));
        if (message.caught_up && !reserved) {
          reserved = call(reservations, 'CreateReservation',
            { request_id: 'node-s1', lines: [{ sku: 'LAMP', quantity: '2' }] });
          reserved.catch(reject);
        }
        if (reserved && seen.length > 1) resolve();
      });
    });
    watching.on('error', () => {});
    watching.cancel();
    const network = new v1.NetworkService(address, credentials);
    const may_not = await call(network, 'ApplyNetwork', { request_id: 'node-s2', document: NETWORK }).then(
      () => { throw new Error('applied'); }, refusalOf);
    const other = await call(availability, 'GetAvailability', { sku: 'LAMP', channel: 'closed' }).then(
      () => { throw new Error('answered'); }, refusalOf);
    return { seen, reserved: await reserved, may_not, other };
  },

  // Nobody whom the server knows.
  async unknown() {
    const stock = new (byProtoFiles().StockService)(address, credentials);
    return call(stock, 'GetPosition', { sku: 'LAMP', location: 'DC' }).then(
      () => { throw new Error('answered'); }, refusalOf);
  },

  async reflection() {
    const reflection = new GrpcReflection(address, credentials);
    const services = await reflection.listServices();
    const descriptor = await reflection.getDescriptorBySymbol('invengine.v1.AvailabilityService');
    const v1 = descriptor.getPackageObject(OPTIONS).invengine.v1;
    const methods = (await reflection.listMethods('invengine.v1.AvailabilityService')).map((method) => method.name);
    const client = new v1.AvailabilityService(address, credentials);
    const answer = await call(client, 'GetAvailability',
      { sku: 'RUG', channel: 'web', consistency: { fully_consistent: true } });
    return { services, methods, answer };
  },
};

scenarios[scenario]().then(
  // A pipe takes a long answer in pieces: whoever exits before the last one is written cuts it off.
  (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0)),
  (error) => { console.error(error); process.exit(1); },
);
