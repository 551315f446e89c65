-- Heads: the one truth of a reservation that is kept in pieces (pieces.lua), at its home H, under its id.
--
-- A head is an array of the fields of README.md, changed in place. Its first eight fields are those of a record, so
-- that what reads or changes only these works on both. Its operation is '' or the number of the change under way: as it is
-- while pieces are asked, '+' before it when it is sure to be carried out, '!' when it is taken back.

do
local CREATED_AT_MS, CART_REF, OPERATION, ATTEMPT, HEAD_LINE_COUNT, HEAD_LINES = 3, 8, 9, 10, 11, 12

local heads, changed_heads -- of this call: id -> head, or false; those that changed

local function begin_heads(args)
  local message = begin_call(args)
  begin_expiry(0)
  heads, changed_heads = {}, {}
  return message, message[5]
end

-- The heads of items, which have their id first: id -> head or false in `heads`.
local function read_heads(home, items)
  local partitions, ids = {}, {}
  for i = 1, #items do
    partitions[i], ids[i] = home, items[i][1]
  end
  local texts = look_up(partitions, ids, { 'heads', 'closed_heads:' .. period, 'closed_heads:' .. period_before })
  for i = 1, #ids do
    if heads[ids[i]] == nil then
      local head = texts[i] and { id = ids[i], home = home }
      if head then
        for field in gmatch(texts[i] .. '\t', '([^\t]*)\t') do
          head[#head + 1] = field
        end
        if #head < HEAD_LINES - 1 then
          broken('not a head at ' .. ids[i], texts[i])
        end
        head.was_state = head[STATE]
      end
      heads[ids[i]] = head
    end
  end
end

-- What was answered to the requests of items before, per item; `place` is where an item has its request.
local function stored_answers(home, items, place)
  local partitions, requests = {}, {}
  for i = 1, #items do
    partitions[i], requests[i] = home, items[i][place]
  end
  return look_up(partitions, requests, { requests_now, requests_before })
end

local function is_live(head)
  return head[STATE] == 'HELD' or head[STATE] == 'CONFIRMED'
end

-- Writes down a change of a head: its row, its place. `is_new_revision` when the reservation is not what it was.
local function head_changed(head, is_new_revision)
  local rows = rows_in(head.home)
  if is_new_revision then
    head[REVISION] = revision_texts[head.home]
  end
  local was = head.last_state or head.was_state
  rows[#rows + 1] = 'G\t' .. head.id .. '\t' .. was .. '\t' .. concat(head, '\t') .. '\t\n'
  if was ~= head[STATE] then
    count_state(head[STATE], 1)
    if was == 'HELD' or was == 'CONFIRMED' then
      count_state(was, -1)
    end
  end
  head.last_state = head[STATE]
  if not head.is_changed then
    head.is_changed = true
    changed_heads[#changed_heads + 1] = head
  end
end

local function finish_heads(outcomes, home)
  for i = 1, #changed_heads do
    local head = changed_heads[i]
    if is_live(head) then
      write_field(home, 'heads', head.id, concat(head, '\t'))
    else
      hash_drops[#hash_drops + 1] = { tags[home] .. 'heads', head.id }
      write_field(home, 'closed_heads:' .. period, head.id, concat(head, '\t'))
    end
  end
  return finish(outcomes, home)
end

-- The record of the whole reservation as it is answered; `tail` are its line count and lines.
local function whole_record(head, tail)
  return concat(head, '\t', STATE, CART_REF) .. '\t\t' .. tail
end

-- Puts a field where only the calls of this fragment look, and of it only those of the operation under way.
local function set_operation(head, operation)
  head[OPERATION] = operation
  if operation == '' then
    hash_drops[#hash_drops + 1] = { tags[head.home] .. 'operations', head.id }
  end
end

local function attempt_mark(id, attempt)
  return id .. '\t' .. attempt
end

-- Commits an attempt, or only looks for what stands in its way.
local function commit_item(item, home, stored, aborted)
  local id, head = item[1], heads[item[1]]
  local earlier = earlier_answer(item[3], item[4], stored)
  if head and head[ATTEMPT] == item[2] and earlier and earlier[1] == 'REPEATED' then -- a repeat of this very call
    return match(earlier[2], '^[^\t]*\t(.*)$')
  elseif earlier then
    return earlier
  elseif head then
    return { 'RESERVATION_EXISTS' }
  elseif not item[5] then
    return { 'RESERVATION_NOT_FOUND' }
  elseif aborted then
    return { 'UNDONE' }
  end
  local fields, lines = item[5], item[6]
  head = { 'HELD', fields[1], fields[2], fields[3], '', fields[4], fields[5], fields[6], '', item[2],
    text_of(#lines / 2), id = id, home = home, was_state = '' }
  for i = 1, #lines do
    head[#head + 1] = lines[i]
  end
  heads[id] = head
  head_changed(head, true)
  for i, name in ipairs({ 'customer:', 'order:', 'cart:' }) do
    if fields[3 + i] ~= '' then
      set_changes[#set_changes + 1] = { 'SADD', tags[home] .. name .. fields[3 + i], id }
    end
  end
  local text = whole_record(head, item[7])
  remember_request(home, item[3], item[4], id, text)
  return text
end

-- Commits reservations whose pieces are taken: from here on they are.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, items }; an item is { id, attempt, request, fingerprint, { channel,
--          created_at_ms, expires_at, customer_ref, order_ref, cart_ref }, { line_id, partition, line_id, ... },
--          line count and lines of the record }, or only the first four to see what stands in the way; all are texts
--   reply  per item: the record as text | REPEATED, reservation_id TAB record | REQUEST_MISMATCH | RESERVATION_EXISTS |
--          UNDONE: the attempt was given up by `judge`, its pieces are freed | RESERVATION_NOT_FOUND: nothing is in
--          the way (only looked)
local function commit(_, args)
  local message, home = begin_heads(args)
  local items, outcomes, partitions, marks = message[6], {}, {}, {}
  read_heads(home, items)
  local stored = stored_answers(home, items, 3)
  for i = 1, #items do
    partitions[i], marks[i] = home, attempt_mark(items[i][1], items[i][2])
  end
  local aborted = look_up(partitions, marks, { 'aborted:' .. period, 'aborted:' .. period_before })
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    outcomes[i] = commit_item(items[i], home, stored[i], aborted[i])
    work = work + 1
  end
  return finish_heads(outcomes, home)
end

redis.register_function('invengine_commit', commit)

-- What the head alone can refuse a verb with, or nil.
local function refused_by_head(head, expected_revision, verb, seconds)
  local refusal = refused_by_state(head, expected_revision)
  if refusal then
    return refusal
  elseif verb == 'fulfil' and head[STATE] ~= 'CONFIRMED' then
    return { 'RESERVATION_NOT_CONFIRMED' }
  elseif (verb == 'confirm' or seconds > 0) and head[STATE] ~= 'HELD' then
    return { 'RESERVATION_CONFIRMED' }
  end
end

local function begin_item(item, home, stored)
  local id, verb, seconds, head = item[1], item[5], item[6], heads[item[1]]
  local earlier = earlier_answer(item[2], item[3], stored)
  if earlier then
    return earlier
  elseif head and head[OPERATION] ~= '' then
    local text = head.operation or call('HGET', tags[home] .. 'operations', id)
    local expires_at, nonce, content = match(text, '^%d+\t(%d+)\t%d+\t([^\t]*)\t(.*)$')
    local word = nonce == item[7] and 'BEGUN' or 'BUSY'
    return { word, concat(head, '\t'), whole(expires_at), content }
  end
  local refusal = refused_by_head(head, item[4], verb, seconds)
  if refusal then
    return refusal
  end
  rows_in(home)
  local expires_at = seconds > 0 and math.ceil(now_ms / 1000) + seconds or 0
  set_operation(head, revision_texts[home])
  head.operation = concat({ head[OPERATION], text_of(expires_at), now_text, item[7], item[8] }, '\t')
  write_field(home, 'operations', id, head.operation)
  head_changed(head, false)
  return { 'BEGUN', concat(head, '\t'), expires_at, item[8] }
end

-- Begins operations: changes of reservations, one at a time each.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, items }; an item is { id, request, fingerprint, expected revision or -1,
--          verb, time to live or 0, a text that no other call has, the content: what somebody else needs to go on }
--   reply  per item: BEGUN, head, second of expiry or 0, content | BUSY, the same of the operation under way: it has to
--          be ended first | REPEATED, ... | REQUEST_MISMATCH | RESERVATION_NOT_FOUND | RESERVATION_EXPIRED, second |
--          RESERVATION_CLOSED, state | REVISION_MISMATCH, revision | RESERVATION_CONFIRMED | RESERVATION_NOT_CONFIRMED
local function begin_operations(_, args)
  local message, home = begin_heads(args)
  local items, outcomes = message[6], {}
  read_heads(home, items)
  local stored = stored_answers(home, items, 2)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    outcomes[i] = begin_item(items[i], home, stored[i])
    work = work + 1
  end
  return finish_heads(outcomes, home)
end

redis.register_function({
  function_name = 'invengine_begin_operations', callback = begin_operations, flags = { 'allow-oom' },
})

local function complete(head, item)
  local result = item[6]
  if result[1] == 0 then
    head[STATE], head[EXPIRES_AT] = result[2], result[3]
    if result[4] ~= '' then
      head[CHANNEL] = result[4]
    end
    set_reference(head, CUSTOMER_REF, 'customer:', result[5])
    set_reference(head, ORDER_REF, 'order:', result[6])
    for i = #head, HEAD_LINES, -1 do
      head[i] = nil
    end
    for i = 1, #result[7] do
      head[HEAD_LINES - 1 + i] = result[7][i]
    end
    head[HEAD_LINE_COUNT] = text_of(#result[7] / 2)
  end
  set_operation(head, '')
  head_changed(head, result[1] == 0)
  local text = whole_record(head, result[8])
  remember_request(head.home, item[4], item[5], head.id, text)
  return text
end

local function end_item(item, stored)
  local head, number_text, word = heads[item[1]], text_of(item[2]), item[3]
  local sign, now = match(head and head[OPERATION] or '', '^([+!]?)(%d*)$')
  if now ~= number_text then -- others have ended it
    local earlier = earlier_answer(item[4], item[5], stored)
    if earlier and earlier[1] == 'REPEATED' then
      return match(earlier[2], '^[^\t]*\t(.*)$')
    end
    return { 'STALE' }
  elseif word == 'ABANDON' then
    set_operation(head, '')
    head_changed(head, false)
    return { 'UNDONE' }
  elseif sign == '!' then
    return { 'UNDONE' }
  elseif word == 'COMPLETE' then
    return complete(head, item)
  elseif word == 'UNDO' and sign == '+' then
    return { 'PREPARED' }
  end
  local wanted = (word == 'UNDO' and '!' or '+') .. number_text
  if head[OPERATION] ~= wanted then
    set_operation(head, wanted)
    head_changed(head, false)
  end
  return { word == 'UNDO' and 'UNDONE' or 'PREPARED' }
end

-- Decides and ends operations.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, items }; an item is { id, number, word, request, fingerprint, result }
--          word  GO: it will be carried out; UNDO: it will be taken back; ABANDON: it is taken back, or nothing was
--                done; COMPLETE: it is carried out, with the result { 1 when nothing changed else 0, state,
--                expires_at, channel or '' to keep, customer_ref likewise, order_ref likewise, { line_id, partition,
--                ... }, line count and lines of the record }
--   reply  per item: the record as answered (COMPLETE) | PREPARED: it is to be carried out | UNDONE: it is to be taken
--          back, or was | STALE: it is not under way any more; the record where its request was answered
local function end_operations(_, args)
  local message, home = begin_heads(args)
  local items, outcomes = message[6], {}
  read_heads(home, items)
  local stored = stored_answers(home, items, 4)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    outcomes[i] = end_item(items[i], stored[i])
    work = work + 1
  end
  return finish_heads(outcomes, home)
end

redis.register_function({
  function_name = 'invengine_end_operations', callback = end_operations, flags = { 'allow-oom' },
})

local function judge_item(item, home)
  local id, token, head = item[1], item[2], heads[item[1]]
  if not head or (sub(token, 1, 1) == 'a' and head[ATTEMPT] ~= token) then
    write_field(home, 'aborted:' .. period, attempt_mark(id, token), '1')
    return { 'ABORT' }
  elseif head[STATE] == 'EXPIRED' then
    return { 'EXPIRE', 0 }
  elseif item[3] < 2 or head[STATE] ~= 'HELD' then
    return { 'KEEP', 0 }
  elseif head[OPERATION] ~= '' then
    return { 'BUSY' }
  elseif whole(head[EXPIRES_AT]) > now_s then
    return { 'KEEP', whole(head[EXPIRES_AT]) }
  end
  head[STATE] = 'EXPIRED'
  head_changed(head, true)
  local outcome, seen = { 'EXPIRE', 1 }, {}
  for line = HEAD_LINES, #head, 2 do
    if not seen[head[line + 1]] then
      seen[head[line + 1]] = true
      outcome[#outcome + 1] = whole(head[line + 1])
    end
  end
  return outcome
end

-- Says what becomes of pieces, and makes it so: a hold that is over by this clock expires here, an attempt that was not
-- committed never will be.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, items }; an item is { id, token of the piece, question as `due` has it }
--   reply  per item: ABORT | EXPIRE, 1 and the partitions of all its pieces when it expired now, else 0 | KEEP, the
--          second when it is over or 0 | BUSY: an operation is under way, so it cannot be said
local function judge(_, args)
  local message, home = begin_heads(args)
  local items, outcomes = message[6], {}
  read_heads(home, items)
  for i = 1, #items do
    outcomes[i] = judge_item(items[i], home)
  end
  return finish_heads(outcomes, home)
end

redis.register_function({ function_name = 'invengine_judge', callback = judge, flags = { 'allow-oom' } })
end
