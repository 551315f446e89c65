-- Pieces: where no call can see all partitions of a reservation (Redis Cluster), each partition S of its SKUs keeps a
-- record with the lines of that partition, under the reservation's id. A piece is taken, changed and given back by the
-- functions that do so with whole reservations; what the reservation is says its head (heads.lua), which may be
-- elsewhere. A piece's `token` is the attempt that took it ('a' and hex digits), later the number of the newest
-- operation that was applied to it. Numbers of a reservation's operations rise.

do
local CHECK_SECONDS = 10 -- after that somebody asks whether a new piece was committed
local LOOK_AGAIN_SECONDS = 1 -- later, where the head could not say yet what becomes of a piece

-- The mark that an operation was refused or undone here, and so is never to be applied any more.
local function undone_mark(id, operation)
  return id .. '\t' .. text_of(operation)
end

local function mark_undone(partition, id, operation)
  write_field(partition, 'undone:' .. period, undone_mark(id, operation), '1')
end

-- Begins a call for the pieces of partition message[5].
local function begin_pieces(args)
  local message = begin_call(args)
  begin_expiry(0)
  take_position, take_units, take_line, take_count, held_count = {}, {}, {}, 0, 0
  return message, message[5]
end

-- Per item the stored text under its id, live or closed, or false. `items` have their id first.
local function stored_pieces(partition, items)
  local partitions, ids = {}, {}
  for i = 1, #items do
    partitions[i], ids[i] = partition, items[i][1]
  end
  return look_up(partitions, ids, { 'reservations', closed_now, closed_before })
end

-- Takes the units of an item that is decided; returns its outcome.
local function record_piece(partition, item, wanted)
  local id, lines, line_count = item[1], item[9], item[8]
  local expires_at, taken = item[3], 0
  for t = 1, take_count do
    taken = taken + take_units[t]
  end
  if expires_at == 0 then
    expires_at = math.ceil(now_ms / 1000) + given(item[4], 1)
  end
  rows_in(partition)
  local tail = item[7] .. '\t' .. item[2] .. '\t' .. text_of(line_count)
  local text = record_item(lines, 1, line_count, partition, id, item[6], tail, item[10], text_of(expires_at))
  look_at(partition, text_of(now_s + CHECK_SECONDS), '?\t' .. id)
  return { 'TAKEN', text, taken < wanted and 1 or 0 }
end

-- Takes the pieces of new reservations: each all or nothing, or as much as there is, perhaps nothing at all.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, lists, items }; lists as in reserve.lua; an item is
--          { id, attempt, second of expiry or 0, time to live, 0 all or nothing 1 best effort 2 only see whether all
--          is there, head, tail (these as `record_item` takes them, the tail up to cart_ref), line count, lines as
--          `take_item` takes them, cause }
--   reply  per item, as far as this call went: TAKEN, record, 1 when something is missing else 0 | TAKEN, '', 0 (only
--          looked) | RESERVATION_EXISTS, token, created_at_ms | and as `reserve` UNKNOWN_SKU, INSUFFICIENT_STOCK,
--          SWEEP_FIRST. A repeat of the attempt is answered like the first, but for what is missing
local function reserve_pieces(_, args)
  local message, partition = begin_pieces(args)
  local lists, items, outcomes, made = message[6], message[7], {}, {}
  local texts = stored_pieces(partition, items)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    local item, outcome, sweep = items[i], nil, nil
    local id, how, wanted = item[1], item[5], 0
    local text = made[id] or texts[i]
    if text and how < 2 then
      local record = read_record(id, partition, text)
      if record[TOKEN] == item[2] then
        outcome = { 'TAKEN', text, 0 }
      else
        outcome = { 'RESERVATION_EXISTS', record[TOKEN], whole(record[3]) }
      end
    else
      for at = 1, #item[9], LINE_SIZE do
        wanted = wanted + item[9][at + 2]
      end
      outcome, sweep = decide_item(item[9], 1, item[8], how == 1, lists)
      if sweep then
        outcomes[i] = { 'SWEEP_FIRST', sweep }
        break
      elseif how == 2 then
        undo_takes(0)
        outcome = outcome or { 'TAKEN', '', 0 }
      elseif not outcome or (how == 1 and outcome[1] == 'INSUFFICIENT_STOCK') then
        outcome = record_piece(partition, item, wanted)
        made[id] = outcome[2]
      end
    end
    outcomes[i] = outcome
  end
  return finish(outcomes, partition)
end

redis.register_function('invengine_reserve_pieces', of_pieces(reserve_pieces))

-- What is prepared at a partition, `{pN}:prepared` id -> operation TAB count, then sku TAB location TAB units per
-- position whose units are set aside for an amendment or rebinding beyond what the record says, then a record: as it is
-- to be (amend, rebind), or as it was (fulfil, without positions).

local function prepared_text(operation, units_at, record)
  local parts = { text_of(operation), text_of(#units_at) }
  for i = 1, #units_at do
    local p = units_at[i][1]
    parts[i + 2] = sku_of[p] .. '\t' .. location_of[p] .. '\t' .. text_of(units_at[i][2])
  end
  parts[#parts + 1] = record
  return concat(parts, '\t')
end

-- What is prepared for an operation: nil where nothing is; else { { p, units }, ... } and the text of the record.
local function read_prepared(partition, id, operation)
  local text = call('HGET', tags[partition] .. 'prepared', id)
  local number_text, count, at = match(text or '', '^(%d+)\t(%d+)\t()')
  if not text or number_text ~= text_of(operation) then
    return nil
  end
  local units_at = {}
  for i = 1, whole(count) do
    local sku, location, units, after = match(text, '^([^\t]*)\t([^\t]*)\t(%d+)\t()', at)
    units_at[i], at = { find_position(sku, location, partition), whole(units) }, after
  end
  return units_at, sub(text, at)
end

local function drop_prepared(partition, id)
  hash_drops[#hash_drops + 1] = { tags[partition] .. 'prepared', id }
end

local function cause_of(record, channel)
  return channel .. '\t' .. record.id, '\t' .. record[ORDER_REF]
end

-- Changes reserved of a position by `units`, and on_hand by `gone`, with its row.
local function shift_position(partition, record, p, units, gone, kind, channel)
  local rows = rows_in(partition)
  local actor, references = cause_of(record, channel)
  set_reserved(p, reserved[p] + units)
  if gone ~= 0 then
    set_on_hand(p, on_hand[p] + gone)
    remember_in_trail(p, gone, now_ms)
  end
  touch(p)
  rows[#rows + 1] = position_row(p, gone, units, kind, actor, references, now_text)
end

-- Open and fulfilled units of a record by leg: { { leg, sku, location, open, fulfilled }, ... }, and these by leg.
local function legs_in(record)
  local list, by_leg = {}, {}
  each_allocation(record, function(line, allocation)
    local leg = record[allocation + LEG]
    local found = { leg, record[line + LINE_SKU], record[allocation], open_units(record, allocation),
      whole(record[allocation + FULFILLED]) }
    list[#list + 1], by_leg[leg] = found, found
  end)
  return list, by_leg
end

-- Makes a record what the text of another says, with the positions and holds that differ. `units_at` were set aside for
-- that.
local function become(record, text, units_at, kind, channel)
  local partition, change, order = record.home, {}, {}
  local function shift_by(p, units, gone)
    if not change[p] then
      change[p] = { 0, 0 }
      order[#order + 1] = p
    end
    change[p][1], change[p][2] = change[p][1] + units, change[p][2] + gone
  end
  for i = 1, #units_at do
    shift_by(units_at[i][1], -units_at[i][2], 0)
  end
  local before, known = legs_in(record)
  for i = #record, 1, -1 do
    record[i] = nil
  end
  local n = 0
  for field in gmatch(text .. '\t', '([^\t]*)\t') do
    n = n + 1
    record[n] = field
  end
  local after, kept = legs_in(record)
  local holds = {}
  for i = 1, #after do
    local leg = after[i]
    local old = known[leg[1]]
    local units, gone = leg[4] - (old and old[4] or 0), (old and old[5] or 0) - leg[5]
    if units ~= 0 or gone ~= 0 then
      shift_by(find_position(leg[2], leg[3], partition), units, gone)
      holds[#holds + 1] = { leg, units }
    end
  end
  for i = 1, #before do
    local leg = before[i]
    if not kept[leg[1]] then
      if leg[4] ~= 0 then
        shift_by(find_position(leg[2], leg[3], partition), -leg[4], 0)
      end
      holds[#holds + 1] = { { leg[1], leg[2], leg[3], 0 }, -leg[4] }
    end
  end
  for i = 1, #order do
    local p = order[i]
    if change[p][1] ~= 0 or change[p][2] ~= 0 then
      shift_position(partition, record, p, change[p][1], change[p][2], kind, channel)
    end
  end
  if record[STATE] == 'HELD' then
    local rows = rows_in(partition)
    for i = 1, #holds do
      local leg, units = holds[i][1], holds[i][2]
      rows[#rows + 1] = row_of_hold(leg[1], leg[2], leg[3], leg[4], leg[4] > 0 and record[EXPIRES_AT] or '0')
      if units > 0 then
        look_at(partition, record[EXPIRES_AT], text_of(partition) .. '\t' .. record.id)
      end
    end
  end
end

-- In place of amend.lua's: sets aside what each position must give beyond what the reservation gives back there, and
-- keeps what the record is to be. Nothing is given back yet, since it could not be taken back for sure.
local function preparing(operation)
  return function(record, lines, gives, wants, kind, channel, write_lines, allocation_at)
    local partition, needs, order = record.home, {}, {}
    local function need(p, units)
      if not needs[p] then
        needs[p] = 0
        order[#order + 1] = p
      end
      needs[p] = needs[p] + units
    end
    for i = 1, #gives do
      gives[i].allocation.quantity = gives[i].allocation.quantity - gives[i].units
      need(gives[i].p, -gives[i].units)
    end
    rows_in(partition) -- legs of new allocations are of this revision
    for t = 1, take_count do
      if take_units[t] > 0 then
        local allocation = allocation_at(wants[take_line[t]].line, location_of[take_position[t]])
        allocation.quantity = allocation.quantity + take_units[t]
        need(take_position[t], take_units[t])
      end
    end
    local after, units_at = {}, {}
    for i = 1, #record do
      after[i] = record[i]
    end
    write_lines(after, lines)
    after[TOKEN] = text_of(operation)
    for i = 1, #order do
      local p = order[i]
      if needs[p] > 0 then
        shift_position(partition, record, p, needs[p], 0, kind, channel)
        units_at[#units_at + 1] = { p, needs[p] }
      end
    end
    write_field(partition, 'prepared', record.id, prepared_text(operation, units_at, concat(after, '\t')))
  end
end

-- A piece without lines: an amendment brings the first ones.
local function new_piece(id, partition, head)
  local record = { id = id, home = partition, was_state = '' }
  for i = 1, TOKEN - 1 do
    record[i] = head[i]
  end
  record[TOKEN], record[LINE_COUNT] = '', '0'
  records[id] = record
  return record
end

local function applied(record, operation, is_same)
  record[TOKEN] = text_of(operation)
  return { 'APPLIED', record_changed(record), is_same and 1 or 0 }
end

-- What is done with a piece: mode -> (record, item, lists) -> outcome, and perhaps the partition to sweep first.
local modes = {}

-- Applies the verb, or refuses it for ever.
function modes.apply(record, item, lists)
  local before = item[7] == 1 and concat(record, '\t')
  piece.may_close, piece.expires_at = item[8] == 1, item[6]
  local refusal, is_same, sweep = verbs[item[4]](record, item[5], 1, lists)
  piece.may_close = false
  if sweep then
    return nil, sweep
  elseif refusal then
    mark_undone(record.home, record.id, item[2])
    return refusal
  end
  if before then
    write_field(record.home, 'prepared', record.id, prepared_text(item[2], {}, before))
  else
    drop_prepared(record.home, record.id)
  end
  return applied(record, item[2], is_same)
end

-- Decides an amendment or rebinding and sets aside what it takes.
function modes.prepare(record, item, lists)
  if read_prepared(record.home, record.id, item[2]) then
    return { 'PREPARED' }
  end
  piece.carry_out = preparing(item[2])
  local refusal, _, sweep = verbs[item[4]](record, item[5], 1, lists)
  piece.carry_out = nil
  if sweep then
    return nil, sweep
  elseif refusal then
    mark_undone(record.home, record.id, item[2])
    return refusal
  end
  return { 'PREPARED' }
end

-- Carries out what was prepared.
function modes.finish(record, item)
  local units_at, text = read_prepared(record.home, record.id, item[2])
  if not units_at then
    return { 'STALE' }
  end
  become(record, text, units_at, item[4] == 'amend' and 'AMEND' or 'REBIND', item[5][2])
  drop_prepared(record.home, record.id)
  return applied(record, item[2], false)
end

-- Says what `apply` would; only the function that writes nothing is called with it.
function modes.check(record, item, lists)
  piece.expires_at = item[6]
  if read_prepared(record.home, record.id, item[2]) then
    return { 'PREPARED' }
  end
  local refusal, _, sweep = verbs[item[4]](record, item[5], 1, lists)
  return refusal or { 'APPLIED', '', 0 }, sweep
end

-- Closes a piece of a reservation that has nothing open any more; the verb's place has the state.
function modes.close(record, item)
  if record[STATE] == 'HELD' or record[STATE] == 'CONFIRMED' then
    record[STATE], record[EXPIRES_AT] = item[4], '0'
    record_changed(record)
    drop_prepared(record.home, record.id)
  end
  return { 'APPLIED', concat(record, '\t'), 0 }
end

-- Takes an operation back as far as it was done here, and has it never done any more.
local function undo(record, item)
  local operation = item[2]
  mark_undone(record.home, record.id, operation)
  local units_at, text = read_prepared(record.home, record.id, operation)
  if units_at and record[TOKEN] == text_of(operation) then -- fulfilled: the record as it was is kept
    become(record, text, units_at, 'FULFIL', item[5][2])
    record_changed(record)
  elseif units_at then
    for i = 1, #units_at do
      shift_position(record.home, record, units_at[i][1], -units_at[i][2], 0, 'RELEASE', item[5][2])
    end
  end
  if units_at then
    drop_prepared(record.home, record.id)
  end
  return { 'UNDONE' }
end

-- The loop over pieces.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, lists, items }; lists as in reserve.lua; an item is { id,
--          number of the operation, mode, verb, the verb's item as changes.lua has it (fingerprint and revision are not
--          looked at), second of expiry (extend) or 0, 1 when it may have to be undone after it is applied else 0,
--          1 when the piece is the whole reservation else 0, the first eight fields of a record for a piece that is
--          new, or {} }
--          modes  look; check (alone in its call); apply; prepare, then finish; undo; close
--   reply  per item, as far as this call went: APPLIED, record, 1 when the verb changed nothing else 0 (also when it
--          was applied before) | PREPARED | UNDONE: refused or taken back before, so it is not applied | STALE: later
--          operations were applied already | RESERVATION_NOT_FOUND: no piece | what the verb refuses with
--          (also SWEEP_FIRST); a refused `apply` or `prepare` is UNDONE from then on
local function run_pieces(message, partition)
  local lists, items, outcomes = message[6], message[7], {}
  local texts, marks, partitions = stored_pieces(partition, items), {}, {}
  for i = 1, #items do
    partitions[i], marks[i] = partition, undone_mark(items[i][1], items[i][2])
  end
  local undone = look_up(partitions, marks, { 'undone:' .. period, 'undone:' .. period_before })
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    local item, outcome, sweep = items[i], nil, nil
    local id, mode = item[1], item[3]
    local record = records[id] or (texts[i] and read_record(id, partition, texts[i]))
    if not record and item[9][1] and mode ~= 'look' then
      record = new_piece(id, partition, item[9])
    end
    local token = record and number(record[TOKEN]) or 0
    if not record then
      outcome = { 'RESERVATION_NOT_FOUND' }
    elseif mode == 'look' then
      outcome = { 'APPLIED', concat(record, '\t'), 1 }
    elseif token > item[2] then
      outcome = { 'STALE' }
    elseif mode == 'undo' then
      outcome = undo(record, item)
    elseif undone[i] then
      outcome = { 'UNDONE' }
    elseif token == item[2] and mode ~= 'close' then
      outcome = { 'APPLIED', concat(record, '\t'), 0 }
    else
      outcome, sweep = modes[mode](record, item, lists)
    end
    if sweep then
      outcomes[i] = { 'SWEEP_FIRST', sweep }
      break
    end
    outcomes[i] = outcome
  end
  return outcomes
end

redis.register_function({
  function_name = 'invengine_change_pieces',
  callback = of_pieces(function(_, args)
    local message, partition = begin_pieces(args)
    return finish(run_pieces(message, partition), partition)
  end),
  flags = { 'allow-oom' },
})

-- The same, but nothing is written: whether the mode `check` of one item would be refused.
redis.register_function('invengine_check_piece', of_pieces(function(_, args)
  local message, partition = begin_pieces(args)
  return pack({ now_ms, {}, run_pieces(message, partition) })
end))

-- What is due in a partition, in the order of its time.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, entries at most }
--   reply  outcomes { 1 when more may be due else 0, { second, entry, id, token, question }, ... }: question 0 none,
--          the entry is stale; 1 was this attempt committed; 2 is this hold over
local function due(_, args)
  local message, partition = begin_pieces(args)
  local tag, left, found = tags[partition], message[6], { 0 }
  local seconds = call('ZRANGEBYSCORE', tag .. 'expiry', '-inf', text_of(now_s), 'LIMIT', 0, 100)
  found[1] = #seconds < 100 and 0 or 1
  for i = 1, #seconds do
    if left <= 0 then
      found[1] = 1
      break
    end
    local entries, items = call('LRANGE', tag .. 'expiry:' .. seconds[i], 0, left), {}
    if #entries > left then
      entries[#entries], found[1] = nil, 1
    end
    left = left - #entries
    for e = 1, #entries do
      items[e] = { match(entries[e], '\t(.*)$') }
    end
    local texts = stored_pieces(partition, items)
    for e = 1, #entries do
      local id, question, token = items[e][1], 0, ''
      local record = texts[e] and read_record(id, partition, texts[e])
      if record and (record[STATE] == 'HELD' or record[STATE] == 'CONFIRMED') then
        token = record[TOKEN]
        if sub(entries[e], 1, 1) == '?' then
          question = sub(token, 1, 1) == 'a' and 1 or 0
        elseif record[STATE] == 'HELD' and whole(record[EXPIRES_AT]) <= now_s then
          question = 2
        end
      end
      found[#found + 1] = { seconds[i], entries[e], id, token, question }
    end
  end
  return finish(found, partition)
end

redis.register_function({ function_name = 'invengine_due', callback = of_pieces(due), flags = { 'allow-oom' } })

-- Applies what heads said about pieces.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, items }; an item is { id, token of the piece that was asked
--          about or '' for any, word, second, entry, second to look again or 0 }; second and entry are '' where no
--          entry asked; word KEEP, BUSY: nothing; EXPIRE: the hold is over; ABORT: it was never committed, so nothing of it stays
--   reply  per item, as far as this call went, 1 when the piece was changed else 0
local function settle(_, args)
  local message, partition = begin_pieces(args)
  local items, outcomes, tag = message[6], {}, tags[partition]
  local texts = stored_pieces(partition, items)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    local item = items[i]
    local id, word, changed_it = item[1], item[3], 0
    local record = (word == 'EXPIRE' or word == 'ABORT') and (records[id] or (texts[i] and read_record(id, partition, texts[i])))
    if record and not record.is_dropped and (item[2] == '' or record[TOKEN] == item[2]) then
      local is_live = record[STATE] == 'HELD' or record[STATE] == 'CONFIRMED'
      if is_live and not units_are_reserved(record) then
        redis.log(redis.LOG_WARNING, 'invengine: units of reservation ' .. id .. ' are missing')
      elseif word == 'ABORT' then
        record.is_dropped, record[TOKEN] = true, '!' .. record[TOKEN]
        expire_record(record, 'RELEASE', 'RELEASED')
        hash_drops[#hash_drops + 1] = { tag .. closed_now, id }
        hash_drops[#hash_drops + 1] = { tag .. closed_before, id }
        changed_it = 1
      elseif is_live then
        expire_record(record, 'EXPIRE', 'EXPIRED')
        changed_it = 1
      end
    end
    if item[6] > 0 then
      look_at(partition, text_of(math.max(item[6], now_s + LOOK_AGAIN_SECONDS)), item[5])
    end
    outcomes[i] = changed_it
  end
  for i = 1, #outcomes do
    local second, entry = items[i][4], items[i][5]
    if second ~= '' then
      local bucket = tag .. 'expiry:' .. second
      call('LREM', bucket, 1, entry)
      if call('EXISTS', bucket) == 0 then
        call('ZREM', tag .. 'expiry', second)
      end
    end
  end
  return finish(outcomes, partition)
end

redis.register_function({ function_name = 'invengine_settle', callback = of_pieces(settle), flags = { 'allow-oom' } })
end
