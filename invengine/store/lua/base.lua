#!lua name=invengine
-- Version 23. Raise it with every change: the loader never puts an older library over a newer one.
--
-- The fragments of this folder are one library, in this order: base, stock, unsellable, records, receipts, expiry,
-- cover, deciding, movements, snapshots, incoming, slots, taking, reserve, plain, changes, transfers, moving, amend,
-- repromise, pieces, prepared, steps, heads, operations, returns, keeping, profiles, tokens.
-- Every verb runs in three steps: begin (unpack, read revisions), decide (in tables of this call, so that later items
-- of a batch see earlier ones), finish (write everything, log, answer). Nothing is written before all is decided,
-- because Redis rolls nothing back.
--
-- Keys, record and row formats: README.md.

-- While a library loads no globals exist, so these are bound by the first call.
local byte, call, concat, find, floor, format, gmatch, match, message_of, number, pack, sort, spread, sub

local UNITS_MAX = 9007199254740991 -- 2^53-1: doubles are exact up to here
local AHEAD_MS = 600000 -- a movement is at most so far ahead of this clock; the services allow half of it
local STEP_MS = 60000 -- a difference of Redis's clock and the caller's estimate of it that is larger means that it was set
local WORK_MAX = 600 -- positions and records handled before the rest of a batch is left to the next call: 10 ms

-- The state of the running call. Nothing here outlives it: `begin` replaces all of it.
local now_ms, now_s, now_text -- the store's time, taken once per call
local latest_ms -- the same, or Redis's clock where that one is ahead
local retention, log_length_max, count_window_ms -- as the message says; seconds, entries (text), milliseconds
local period, period_before -- texts, see README
local requests_now, requests_before, closed_now, closed_before -- suffixes of keys
local work -- how much was read and decided so far
local uncovered -- positions where this call did not get through all backorders: partition, sku, location and so on, or nil
local revision_of -- partition -> its revision, the new one once it is changed
local revision_texts -- partition that changes -> the text of its new revision
local rows_of -- partition -> pieces of its log entry; only partitions that change are here
local changed -- partitions that change, in order of first change; `changed.by` says on whose behalf, see README, nil:
-- nobody knows
local legs_of, leg_bases -- partition -> allocations named so far; its first leg as text of its thousands, and the rest
local hash_writes, hash_writes_of -- what to HSET: a list of { partition, suffix, { field, value, ... } }, and the inner
-- lists by suffix and partition
local hash_drops -- a list of { key, field }
local set_changes -- a list of { SADD or SREM, key, member }
local state_changes -- reservation state -> how many more
-- Of this call: nil where records are whole reservations, else how pieces are changed.
local piece -- { may_close = a piece without open units is closed, expires_at = second, carry_out = in place
-- of moving's }
local verbs = {} -- name -> the function that changes a record: (record, items, at, lists) as `change` says
local tags = {} -- partition -> '{pN}:'; a pure function of the number, so it may outlive a call
local digits, padded = {}, {} -- -999..999 -> its text, and 0..999 the same with leading zeros; likewise

local function bind()
  call, concat, find, floor, format = redis.call, table.concat, string.find, math.floor, string.format
  gmatch, match, message_of, number = string.gmatch, string.match, cmsgpack.unpack, tonumber
  byte, pack, sort, spread, sub = string.byte, cmsgpack.pack, table.sort, unpack, string.sub
  for n = 0, 999 do
    digits[-n] = '-' .. format('%.0f', n)
    digits[n], padded[n] = format('%.0f', n), format('%03.0f', n)
  end
  for partition = 0, 1023 do
    tags[partition] = format('{p%.0f}:', partition)
  end
end

local function broken(what, value)
  error({ err = 'ERR invengine: ' .. what .. ': ' .. tostring(value) })
end

-- The text of a whole number; tostring and .. lose digits over 1e14. Small ones are put together from two looked up
-- parts, which is three times as fast as format.
local function text_of(n)
  local text = digits[n]
  if text then
    return text
  elseif n > 0 and n < 1000000 then
    local thousands = floor(n / 1000)
    return digits[thousands] .. padded[n - thousands * 1000]
  end
  return format('%.0f', n)
end

-- The number that a stored text says; refuses '1.0', '1e3', '0x1', '01' and ' 1', as HINCRBY does.
local function whole(text)
  local n = number(text)
  if n and n <= UNITS_MAX and (find(text, '^[1-9]%d*$') or text == '0') then
    return n
  end
  return broken('not a whole number', text)
end

-- A number of a message, checked to be whole and within the range.
local function given(n, least)
  if type(n) ~= 'number' or n < least or n > UNITS_MAX or n % 1 ~= 0 then
    broken('not a whole number', n)
  end
  return n
end

local function clock()
  local time = call('TIME')
  return time[1] * 1000 + floor(time[2] / 1000)
end

-- The store's time: Redis's clock, unless the estimate says that it was set.
--   estimate  text of the milliseconds that the caller expects, or nil; with a minus it goes before Redis's clock in any
--             case: the callers are leading the store's time to a clock that was set
--   returns   the store's time, Redis's clock
local function store_time(estimate)
  local of_redis = clock()
  if not estimate then
    return of_redis, of_redis
  end
  local expected = number(estimate)
  if not expected or expected % 1 ~= 0 then
    broken('not a time', estimate)
  elseif expected < 0 then
    return -expected, of_redis
  elseif of_redis - expected > STEP_MS or expected - of_redis > STEP_MS then
    return expected, of_redis
  end
  return of_redis, of_redis
end

local begin, of_pieces

do -- Lua allows 200 local names at once: what only these use ends with them
local next_piece -- of the call that comes

-- Starts a call: unpacks its message and reads the revisions of the partitions that it names.
--   args  1 the message { retention_seconds, log_length_max, count_window_ms, { partition, ... }, ... }
--         2 the caller's estimate of the time, see store_time; may be missing
--         3 on whose behalf: see `by` in README; may be missing
function begin(args)
  piece, next_piece = next_piece, nil
  if not call then
    bind()
  end
  local message = message_of(args[1])
  retention, log_length_max, count_window_ms = message[1], text_of(message[2]), message[3]
  local of_redis
  now_ms, of_redis = store_time(args[2])
  latest_ms = math.max(now_ms, of_redis)
  now_s, now_text = floor(now_ms / 1000), format('%.0f', now_ms)
  local current = floor(now_s / retention)
  period, period_before = text_of(current), text_of(current - 1)
  requests_now, requests_before = 'requests:' .. period, 'requests:' .. period_before
  closed_now, closed_before = 'closed:' .. period, 'closed:' .. period_before
  work, uncovered = 0, nil
  revision_of, revision_texts, rows_of, changed, legs_of, leg_bases = {}, {}, {}, {}, {}, {}
  hash_writes, hash_writes_of, hash_drops = {}, {}, {}
  set_changes, state_changes = {}, {}
  changed.by = args[3]
  local partitions, names = message[4], {}
  for i = 1, #partitions do
    names[i] = tags[partitions[i]] .. 'revision'
  end
  if #names > 0 then
    local revisions = call('MGET', spread(names))
    for i = 1, #partitions do
      revision_of[partitions[i]] = whole(revisions[i] or '0')
    end
  end
  return message
end

-- A function whose calls see one partition: its records are pieces of reservations, whose heads may be elsewhere.
function of_pieces(callback)
  return function(keys, args)
    next_piece = { may_close = false }
    return callback(keys, args)
  end
end
end

-- The rows of a partition that changes in this call; its revision rises with the first.
local function rows_in(partition)
  local rows = rows_of[partition]
  if not rows then
    local revision = revision_of[partition]
    if not revision then
      revision = whole(call('GET', tags[partition] .. 'revision') or '0')
    end
    revision_of[partition], revision_texts[partition] = revision + 1, text_of(revision + 1)
    rows = {}
    rows_of[partition] = rows
    changed[#changed + 1] = partition
    local first_leg = (revision + 1) * 65536
    legs_of[partition], leg_bases[partition] = 0, { format('%.0f', floor(first_leg / 1000)), first_leg % 1000 }
  end
  return rows
end

-- A number for a new allocation, never used again in its partition.
local function new_leg(partition)
  local leg = legs_of[partition] + 1
  if leg > 65535 then
    broken('more than 65,535 allocations in one call', partition)
  end
  legs_of[partition] = leg
  local base = leg_bases[partition]
  local place = base[2] + leg
  if place < 1000 then
    return base[1] .. padded[place]
  end
  return format('%.0f', revision_of[partition] * 65536 + leg)
end

-- Has a field written to the hash `suffix` of a partition.
local function write_field(partition, suffix, field, value)
  local of_suffix = hash_writes_of[suffix]
  if not of_suffix then
    of_suffix = {}
    hash_writes_of[suffix] = of_suffix
  end
  local values = of_suffix[partition]
  if values then
    local n = #values
    values[n + 1], values[n + 2] = field, value
  else
    values = { field, value }
    of_suffix[partition] = values
    hash_writes[#hash_writes + 1] = { partition, suffix, values }
  end
end

local function count_state(state, by)
  state_changes[state] = (state_changes[state] or 0) + by
end

-- Looks `fields` up in hashes of their partitions, all of one partition and hash with one command.
--   suffixes  hashes to look in; the first that has the field wins
--   returns   per field its value or false
local function look_up(partitions, fields, suffixes)
  local found, groups, order = {}, {}, {}
  for i = 1, #fields do
    local partition = partitions[i]
    local group = groups[partition]
    if not group then
      group = { {}, {} }
      groups[partition] = group
      order[#order + 1] = partition
    end
    local names, places = group[1], group[2]
    local n = #names + 1
    names[n], places[n] = fields[i], i
    found[i] = false
  end
  for g = 1, #order do
    local partition = order[g]
    local names, places = groups[partition][1], groups[partition][2]
    for s = 1, #suffixes do
      local key = tags[partition] .. suffixes[s]
      if #names == 1 then -- HGET answers without a table
        found[places[1]] = found[places[1]] or call('HGET', key, names[1])
      else
        local values = call('HMGET', key, spread(names))
        for i = 1, #names do
          found[places[i]] = found[places[i]] or values[i]
        end
      end
    end
  end
  return found
end

local writers = {} -- what writes the tables of each fragment; added by stock, unsellable, records, receipts and expiry

local set_fields, append

do
local SPREAD_MAX = 4000 -- values handed to one command; Lua fails at 8,000

-- Sets fields of a hash, in as many parts as Lua can hand over. `values` is field, value, field, value and so on.
function set_fields(key, values)
  for from = 1, #values, SPREAD_MAX do
    call('HSET', key, spread(values, from, math.min(from + SPREAD_MAX - 1, #values)))
  end
end

-- Appends to a list, likewise. Returns how long it is then.
function append(key, entries)
  local length
  for from = 1, #entries, SPREAD_MAX do
    length = call('RPUSH', key, spread(entries, from, math.min(from + SPREAD_MAX - 1, #entries)))
  end
  return length
end
end

local finish

do
local TRIM_EVERY = 128 -- revisions between two trims of a log

local function write_hashes()
  for i = 1, #hash_writes do
    local write = hash_writes[i]
    set_fields(tags[write[1]] .. write[2], write[3])
  end
  for i = 1, #hash_drops do
    call('HDEL', hash_drops[i][1], hash_drops[i][2])
  end
  for i = 1, #set_changes do
    local change = set_changes[i]
    call(change[1], change[2], change[3])
  end
end

-- On whose behalf an entry of the log was written: where several share the call, those that made some row of a position
-- in it. Their names are in the order of the rows, so that it says the same wherever it is worked out.
local CAUSE = '\nP\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t([^\t]*)'

local function by_of_rows(by, rows)
  if not find(by, '\t', 1, true) then
    return by
  end
  local names, lines, said = {}, {}, {}
  for cause, name in gmatch(by, '([^\t]*)\t([^\n]*)\n') do
    names[cause] = name
  end
  for cause in gmatch('\n' .. rows, CAUSE) do
    if names[cause] and not said[cause] then
      said[cause] = true
      lines[#lines + 1] = cause .. '\t' .. names[cause] .. '\n'
    end
  end
  return concat(lines)
end

-- Ends a call: writes what was decided, logs it, answers.
--   home     partition whose counters of states take the change (readers add all partitions up)
--   returns  { now_ms, { { partition, revision, rows }, ... }, outcomes }, packed; rows is '' where nothing changed. The
--            last outcome is COVER_FIRST, partition, sku, location, ... where backorders wait for units that are free:
--            have them covered (invengine_cover) before anything else
function finish(outcomes, home)
  for i = 1, #writers do
    writers[i]()
  end
  write_hashes()
  for state, by in pairs(state_changes) do
    if by ~= 0 then
      call('HINCRBY', tags[home] .. 'states', state, text_of(by))
    end
  end
  local answered, revisions = {}, {}
  for i = 1, #changed do
    local partition = changed[i]
    local tag, revision = tags[partition], revision_of[partition]
    local rows, revision_text = concat(rows_of[partition]), revision_texts[partition]
    local n = #revisions
    revisions[n + 1], revisions[n + 2] = tag .. 'revision', revision_text
    if changed.by then
      local by = by_of_rows(changed.by, rows)
      call('XADD', tag .. 'log', revision_text .. '-0', 'at', now_text, 'rows', rows, 'by', by)
    else
      call('XADD', tag .. 'log', revision_text .. '-0', 'at', now_text, 'rows', rows)
    end
    if revision % TRIM_EVERY == 0 then
      call('XTRIM', tag .. 'log', 'MAXLEN', '~', log_length_max)
    end
    answered[i] = { partition, revision, rows }
  end
  if #revisions > 0 then
    call('MSET', spread(revisions))
  end
  for partition, revision in pairs(revision_of) do
    if not rows_of[partition] then
      answered[#answered + 1] = { partition, revision, '' }
    end
  end
  if uncovered then
    outcomes[#outcomes + 1] = { 'COVER_FIRST', spread(uncovered) }
  end
  return pack({ now_ms, answered, outcomes })
end
end
