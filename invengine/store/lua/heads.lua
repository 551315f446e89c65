-- Heads: the one truth of a reservation that is kept in pieces (pieces.lua), at its home H, under its id.
--
-- A head is an array of the fields of README.md, changed in place. Its first eight fields are those of a record, so
-- that what reads or changes only these works on both. Its operation is '' or the number of the change under way: as it is
-- while pieces are asked, '+' before it when it is sure to be carried out, '!' when it is taken back.

local heads = {} -- the functions of this fragment; by_id: of this call, id -> head, or false
heads.OPERATION, heads.HEAD_LINE_COUNT, heads.HEAD_LINES = 9, 11, 12 -- places in a head

do
local CART_REF, ATTEMPT = 8, 10

local changed_heads -- of this call, in order

function heads.begin(args)
  local message = begin_call(args)
  begin_expiry(0)
  heads.by_id, changed_heads = {}, {}
  return message, message[5]
end

-- The heads of items, which have their id first: id -> head or false in `heads.by_id`.
function heads.read(home, items)
  local partitions, ids = {}, {}
  for i = 1, #items do
    partitions[i], ids[i] = home, items[i][1]
  end
  local texts = look_up(partitions, ids, { 'heads', 'closed_heads:' .. period, 'closed_heads:' .. period_before })
  for i = 1, #ids do
    if heads.by_id[ids[i]] == nil then
      local head = texts[i] and { id = ids[i], home = home }
      if head then
        for field in gmatch(texts[i] .. '\t', '([^\t]*)\t') do
          head[#head + 1] = field
        end
        if #head < heads.HEAD_LINES - 1 then
          broken('not a head at ' .. ids[i], texts[i])
        end
        head.was_state = head[STATE]
      end
      heads.by_id[ids[i]] = head
    end
  end
end

-- What was answered to the requests of items before, per item; `place` is where an item has its request.
function heads.stored_answers(home, items, place)
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
function heads.changed(head, is_new_revision)
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

function heads.finish(outcomes, home)
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
function heads.whole_record(head, tail)
  return concat(head, '\t', STATE, CART_REF) .. '\t\t' .. tail
end

-- Puts a field where only the calls of this fragment look, and of it only those of the operation under way.
function heads.set_operation(head, operation)
  head[heads.OPERATION] = operation
  if operation == '' then
    hash_drops[#hash_drops + 1] = { tags[head.home] .. 'operations', head.id }
  end
end

local function attempt_mark(id, attempt)
  return id .. '\t' .. attempt
end

-- Commits an attempt, or only looks for what stands in its way.
local function commit_item(item, home, stored, aborted)
  local id, head = item[1], heads.by_id[item[1]]
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
  local is_transfer = item[8] == 1
  head = { item[8] > 0 and 'CONFIRMED' or 'HELD', fields[1], fields[2], fields[3], '', fields[4], fields[5], fields[6], '', item[2],
    text_of(#lines / 2), id = id, home = home, was_state = '' }
  for i = 1, #lines do
    head[#head + 1] = lines[i]
  end
  heads.by_id[id] = head
  heads.changed(head, true)
  if is_transfer then
    set_changes[#set_changes + 1] = { 'SADD', tags[home] .. 'transfers', id }
  end
  for i, name in ipairs({ 'customer:', 'order:', not is_transfer and 'cart:' or nil }) do
    if fields[3 + i] ~= '' then
      set_changes[#set_changes + 1] = { 'SADD', tags[home] .. name .. fields[3 + i], id }
    end
  end
  local text = heads.whole_record(head, item[7])
  remember_request(home, item[3], item[4], id, text)
  return text
end

-- Commits reservations whose pieces are taken: from here on they are.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, items }; an item is { id, attempt, request, fingerprint, { channel,
--          created_at_ms, expires_at, customer_ref, order_ref, cart_ref }, { line_id, partition, line_id, ... },
--          line count and lines of the record, 1 for a transfer, 2 for what is confirmed at once, else 0 }, or only the first four to see what stands in the way; all are texts
--   reply  per item: the record as text | REPEATED, reservation_id TAB record | REQUEST_MISMATCH | RESERVATION_EXISTS |
--          UNDONE: the attempt was given up by `judge`, its pieces are freed | RESERVATION_NOT_FOUND: nothing is in
--          the way (only looked)
local function commit(_, args)
  local message, home = heads.begin(args)
  local items, outcomes, partitions, marks = message[6], {}, {}, {}
  heads.read(home, items)
  local stored = heads.stored_answers(home, items, 3)
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
  return heads.finish(outcomes, home)
end

redis.register_function('invengine_commit', commit)

local function judge_item(item, home)
  local id, token, head = item[1], item[2], heads.by_id[item[1]]
  if not head or (sub(token, 1, 1) == 'a' and head[ATTEMPT] ~= token) then
    write_field(home, 'aborted:' .. period, attempt_mark(id, token), '1')
    return { 'ABORT' }
  elseif head[STATE] == 'EXPIRED' then
    return { 'EXPIRE', 0 }
  elseif item[3] < 2 or head[STATE] ~= 'HELD' then
    return { 'KEEP', 0 }
  elseif head[heads.OPERATION] ~= '' then
    return { 'BUSY' }
  elseif whole(head[EXPIRES_AT]) > now_s then
    return { 'KEEP', whole(head[EXPIRES_AT]) }
  end
  head[STATE] = 'EXPIRED'
  heads.changed(head, true)
  local outcome, seen = { 'EXPIRE', 1 }, {}
  for line = heads.HEAD_LINES, #head, 2 do
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
  local message, home = heads.begin(args)
  local items, outcomes = message[6], {}
  heads.read(home, items)
  for i = 1, #items do
    outcomes[i] = judge_item(items[i], home)
  end
  return heads.finish(outcomes, home)
end

redis.register_function({ function_name = 'invengine_judge', callback = judge, flags = { 'allow-oom' } })
end
