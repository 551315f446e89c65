-- Operations: changes of reservations in pieces, begun at the head and ended there.

do
local OF_TRANSFERS = { ship_transfer = true, cancel_transfer = true, close_transfer = true } -- verbs

-- What the head alone can refuse a verb with, or nil.
local function refused_by_head(head, expected_revision, verb, seconds)
  local refusal = refused_by_state(head, expected_revision)
  if refusal then
    return refusal
  elseif verb == 'fulfil' and head[STATE] ~= 'CONFIRMED' then
    return { 'RESERVATION_NOT_CONFIRMED' }
  elseif (verb == 'confirm' or verb == 'extend' or seconds > 0) and head[STATE] ~= 'HELD' then
    return { 'RESERVATION_CONFIRMED' }
  end
  local is_transfer = call('SISMEMBER', tags[head.home] .. 'transfers', head.id) == 1
  if is_transfer ~= (OF_TRANSFERS[verb] or false) then
    return { is_transfer and 'OF_TRANSFER' or 'TRANSFER_NOT_FOUND' }
  end
end

local function begin_item(item, home, stored)
  local id, verb, seconds, head = item[1], item[5], item[6], heads.by_id[item[1]]
  local earlier = earlier_answer(item[2], item[3], stored)
  if earlier then
    return earlier
  elseif head and head[heads.OPERATION] ~= '' then
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
  heads.set_operation(head, revision_texts[home])
  head.operation = concat({ head[heads.OPERATION], text_of(expires_at), now_text, item[7], item[8] }, '\t')
  write_field(home, 'operations', id, head.operation)
  heads.changed(head, false)
  return { 'BEGUN', concat(head, '\t'), expires_at, item[8] }
end

-- Begins operations: changes of reservations, one at a time each.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, items }; an item is { id, request, fingerprint, expected revision or -1,
--          verb, time to live or 0, a text that no other call has, the content: what somebody else needs to go on }
--   reply  per item: BEGUN, head, second of expiry or 0, content | BUSY, the same of the operation under way: it has to
--          be ended first | REPEATED, ... | REQUEST_MISMATCH | RESERVATION_NOT_FOUND | RESERVATION_EXPIRED, second |
--          RESERVATION_CLOSED, state | REVISION_MISMATCH, revision | RESERVATION_CONFIRMED | RESERVATION_NOT_CONFIRMED |
--          OF_TRANSFER | TRANSFER_NOT_FOUND
local function begin_operations(_, args)
  local message, home = heads.begin(args)
  local items, outcomes = message[6], {}
  heads.read(home, items)
  local stored = heads.stored_answers(home, items, 2)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    outcomes[i] = begin_item(items[i], home, stored[i])
    work = work + 1
  end
  return heads.finish(outcomes, home)
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
    for i = #head, heads.HEAD_LINES, -1 do
      head[i] = nil
    end
    for i = 1, #result[7] do
      head[heads.HEAD_LINES - 1 + i] = result[7][i]
    end
    head[heads.HEAD_LINE_COUNT] = text_of(#result[7] / 2)
  end
  heads.set_operation(head, '')
  heads.changed(head, result[1] == 0)
  local text = heads.whole_record(head, result[8])
  remember_request(head.home, item[4], item[5], head.id, text)
  return text
end

local function end_item(item, stored)
  local head, number_text, word = heads.by_id[item[1]], text_of(item[2]), item[3]
  local sign, now = match(head and head[heads.OPERATION] or '', '^([+!]?)(%d*)$')
  if now ~= number_text then -- others have ended it
    local earlier = earlier_answer(item[4], item[5], stored)
    if earlier and earlier[1] == 'REPEATED' then
      return match(earlier[2], '^[^\t]*\t(.*)$')
    end
    return { 'STALE' }
  elseif word == 'ABANDON' then
    heads.set_operation(head, '')
    heads.changed(head, false)
    return { 'UNDONE' }
  elseif sign == '!' then
    return { 'UNDONE' }
  elseif word == 'COMPLETE' then
    return complete(head, item)
  elseif word == 'UNDO' and sign == '+' then
    return { 'PREPARED' }
  end
  local wanted = (word == 'UNDO' and '!' or '+') .. number_text
  if head[heads.OPERATION] ~= wanted then
    heads.set_operation(head, wanted)
    heads.changed(head, false)
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
  local message, home = heads.begin(args)
  local items, outcomes = message[6], {}
  heads.read(home, items)
  local stored = heads.stored_answers(home, items, 4)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    outcomes[i] = end_item(items[i], stored[i])
    work = work + 1
  end
  return heads.finish(outcomes, home)
end

redis.register_function({
  function_name = 'invengine_end_operations', callback = end_operations, flags = { 'allow-oom' },
})
end
