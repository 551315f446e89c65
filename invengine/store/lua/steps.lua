-- Changes of pieces: the verbs of changes.lua and amend.lua, each operation of a reservation once or never.

do
-- A piece without lines: an amendment brings the first ones.
local function new_piece(id, partition, head)
  local record = { id = id, home = partition, was_state = '' }
  for i = 1, TOKEN - 1 do
    record[i] = head[i]
  end
  record[TOKEN], record[LINE_COUNT] = '0', '0'
  records[id] = record
  return record
end

-- What is done with a piece: mode -> (record, item, lists) -> outcome, and perhaps the partition to sweep first.
local modes = {}

-- Applies the verb, or refuses it for ever.
function modes.apply(record, item, lists)
  local before = item[7] == 1 and pieces.fulfilled_in(record)
  if before and item[5][4] < 0 then
    broken('a fulfilment as of an instant names the lines of one partition', record.id)
  end
  piece.may_close, piece.expires_at = item[8] == 1, item[6]
  local refusal, is_same, sweep = verbs[item[4]](record, item[5], 1, lists)
  piece.may_close = false
  if sweep then
    return nil, sweep
  elseif refusal then
    pieces.mark_undone(record.home, record.id, item[2])
    return refusal
  end
  if before then
    pieces.keep_prepared(record, item[2], { takes = {}, added = {}, fulfilled = pieces.fulfilled_since(record, before) })
  else
    pieces.drop_prepared(record)
  end
  return pieces.applied(record, item[2], is_same)
end

-- Decides an amendment or rebinding and takes what it takes beyond what it gives back.
function modes.prepare(record, item, lists)
  if pieces.prepared_for(record, item[2]) then
    return { 'PREPARED' }
  end
  piece.carry_out = pieces.preparing(item)
  local refusal, _, sweep = verbs[item[4]](record, item[5], 1, lists)
  piece.carry_out = nil
  if sweep then
    return nil, sweep
  elseif refusal then
    pieces.mark_undone(record.home, record.id, item[2])
    return refusal
  end
  return { 'PREPARED' }
end

modes.finish = pieces.finish

-- Says what `apply` would; only the function that writes nothing is called with it.
function modes.check(record, item, lists)
  piece.expires_at, piece.is_check = item[6], true
  if pieces.prepared_for(record, item[2]) then
    return { 'PREPARED' }
  end
  local refusal, is_same, sweep = verbs[item[4]](record, item[5], 1, lists)
  return refusal or { 'APPLIED', '', is_same and 1 or 0 }, sweep
end

-- Closes a piece of a reservation that has nothing open any more; the verb's place has the state.
function modes.close(record, item)
  if record[STATE] == 'HELD' or record[STATE] == 'CONFIRMED' then
    record[STATE], record[EXPIRES_AT] = item[4], '0'
    record_changed(record)
    pieces.drop_prepared(record)
  end
  return { 'APPLIED', concat(record, '\t'), 0 }
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
  local texts, marks, partitions = pieces.stored(partition, items), {}, {}
  for i = 1, #items do
    partitions[i], marks[i] = partition, pieces.undone_mark(items[i][1], items[i][2])
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
      outcome = pieces.undo(record, item)
    elseif undone[i] or pieces.marked[marks[i]] then
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
    local message, partition = pieces.begin(args)
    return finish(run_pieces(message, partition), partition)
  end),
  flags = { 'allow-oom' },
})

-- The same, but nothing is written: whether the mode `check` of one item would be refused. Giving back begins with it.
redis.register_function({
  function_name = 'invengine_check_piece',
  callback = of_pieces(function(_, args)
    local message, partition = pieces.begin(args)
    return pack({ now_ms, {}, run_pieces(message, partition) })
  end),
  flags = { 'allow-oom' },
})
end
