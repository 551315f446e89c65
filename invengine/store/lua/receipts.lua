-- Incoming receipts and backorders: what is expected, what of it is promised, whose turn it is, which promises broke.
-- A receipt is a table: sku, partition, location, id ('' for the backorders of the position), day, quantity, pegged,
-- revision (a text), from ('' or, of a transfer, the location that its units left).

local book -- what this call knows of all this; nil until something is looked up, which most calls never do
local incoming = {} -- the functions of this fragment

local function begin_call(args)
  local message = begin(args)
  begin_stock()
  begin_records()
  answered_requests, book, unsellable.kept = {}, nil, nil
  return message
end

do -- Lua allows 200 local names at once: what only these use ends with them
local COVER_MAX = 250 -- entries of queues that one call looks at to cover backorders

local function open_book()
  if not book then
    book = {
      receipts = {}, -- sku -> location TAB id -> receipt, or false
      is_whole = {}, -- sku -> true when all receipts of the SKU are in `receipts`
      changed = {}, -- receipts that changed, in order
      queues = {}, -- key -> queue: key, receipt, added (entries), gone (entry -> from where to search it)
      queue_list = {},
      is_waiting = {}, -- partition -> whether anything is backordered there
      waiting = {}, -- a list of { partition, sku, change of its backordered units }
      broken = {}, -- partition -> leg -> text, or false
      broken_list = {}, -- { partition, leg } that changed
      may_cover = COVER_MAX,
    }
  end
  return book
end

local function receipts_in(sku)
  local receipts = open_book().receipts
  local of_sku = receipts[sku]
  if not of_sku then
    of_sku = {}
    receipts[sku] = of_sku
  end
  return of_sku
end

local function incoming_key(sku, partition)
  return tags[partition] .. 'incoming:' .. sku
end

local function new_receipt(sku, partition, location, id)
  return { sku = sku, partition = partition, location = location, id = id, day = 0, quantity = 0, pegged = 0, revision = '0',
    from = '' }
end

local function read_receipt(sku, partition, location, id, text)
  local receipt = new_receipt(sku, partition, location, id)
  local day, quantity, pegged, revision, from = match(text, '^(%d+),(%d+),(%d+),(%d+)(.*)$')
  if not day or (from ~= '' and not find(from, '^,.')) then
    broken('not a receipt at ' .. sku .. ' ' .. location .. ' ' .. id, text)
  end
  receipt.from = sub(from, 2)
  receipt.day, receipt.quantity, receipt.pegged, receipt.revision = whole(day), whole(quantity), whole(pegged), revision
  return receipt
end

-- One receipt, or false where there is none (any more).
function incoming.find(sku, partition, location, id)
  local of_sku, field = receipts_in(sku), location .. '\t' .. id
  local receipt = of_sku[field]
  if receipt == nil and not book.is_whole[sku] then
    local text = call('HGET', incoming_key(sku, partition), field)
    receipt = text and read_receipt(sku, partition, location, id, text)
    of_sku[field] = receipt
    work = work + 1
  end
  return receipt and (receipt.quantity > 0 or receipt.pegged > 0) and receipt
end

-- The same, made in the tables where there is none.
function incoming.receipt_for(sku, partition, location, id)
  local receipt = incoming.find(sku, partition, location, id)
  if not receipt then
    receipt = book.receipts[sku][location .. '\t' .. id] or new_receipt(sku, partition, location, id)
    receipt.from = ''
    book.receipts[sku][location .. '\t' .. id] = receipt
  end
  return receipt
end

-- All receipts of a SKU by location TAB id; some may be without units.
function incoming.all_of(sku, partition)
  local of_sku = receipts_in(sku)
  if not book.is_whole[sku] then
    local stored = call('HGETALL', incoming_key(sku, partition))
    for i = 1, #stored, 2 do
      if of_sku[stored[i]] == nil then
        local location, id = match(stored[i], '^([^\t]*)\t([^\t]*)$')
        of_sku[stored[i]] = read_receipt(sku, partition, location, id, stored[i + 1])
      end
    end
    book.is_whole[sku] = true
    work = work + #stored / 8 -- a read in passing costs less than a change
  end
  return of_sku
end

-- Whether a SKU has a position or anything incoming; of slots every one is known.
function incoming.knows(sku, partition)
  if byte(sku) == 32 or call('EXISTS', stock_key(sku, partition)) == 1 then
    return true
  end
  for _, receipt in pairs(incoming.all_of(sku, partition)) do
    if receipt and (receipt.quantity > 0 or receipt.pegged > 0) then
      return true
    end
  end
  return false
end

-- Marks a receipt as changed and writes its row; `cause` is kind, actor and cause, each with a TAB before it.
function incoming.changed(receipt, cause)
  local rows = rows_in(receipt.partition)
  receipt.revision = revision_texts[receipt.partition]
  if not receipt.is_changed then
    receipt.is_changed = true
    book.changed[#book.changed + 1] = receipt
  end
  local day = receipt.quantity > 0 and text_of(receipt.day) or '0'
  rows[#rows + 1] = 'I\t' .. receipt.sku .. '\t' .. receipt.location .. '\t' .. receipt.id .. '\t' .. day .. '\t'
    .. text_of(receipt.quantity) .. '\t' .. text_of(receipt.pegged) .. cause
    .. (receipt.from == '' and '' or '\t' .. receipt.from) .. '\t\n'
end

-- Who waits for units of a receipt, or for any (backorders).
function incoming.queue_of(receipt)
  local key = tags[receipt.partition] .. 'pegs:' .. receipt.sku .. '\t' .. receipt.location .. '\t' .. receipt.id
  local queues = open_book().queues
  local queue = queues[key]
  if not queue then
    queue = { key = key, receipt = receipt, added = {}, gone = {} }
    queues[key] = queue
    book.queue_list[#book.queue_list + 1] = queue
  end
  return queue
end

-- Calls visit(home, id, leg, entry) for each entry of a queue, the oldest first, or with a `step` of -1 the newest first.
-- Stops at the first answer that is not nil and returns it.
function incoming.each_queued(queue, step, visit)
  local function show(entry)
    if queue.gone[entry] then
      return nil
    end
    local home, id, leg = match(entry, '^(%d+)\t([^\t]*)\t(%d+)$')
    if not home then
      broken('not an entry of a queue', entry)
    end
    return visit(whole(home), id, leg, entry)
  end
  local function added()
    local first, last = 1, #queue.added
    if step < 0 then
      first, last = last, first
    end
    for i = first, last, step do
      local answer = show(queue.added[i])
      if answer ~= nil then
        return answer
      end
    end
  end
  if step < 0 then
    local answer = added()
    if answer ~= nil then
      return answer
    end
  end
  local read = 0
  while true do
    local entries
    if step < 0 then
      entries = call('LRANGE', queue.key, -read - 100, -read - 1)
    else
      entries = call('LRANGE', queue.key, read, read + 99)
    end
    local first, last = 1, #entries
    if step < 0 then
      first, last = last, first
    end
    for i = first, last, step do
      local answer = show(entries[i])
      if answer ~= nil then
        return answer
      end
    end
    read = read + #entries
    work = work + #entries / 100
    if #entries < 100 then
      break
    end
  end
  if step > 0 then
    return added()
  end
end

-- Takes an entry out of a queue: `from` is 1 where it is near the old end, -1 near the new one.
function incoming.drop_queued(queue, entry, from)
  queue.gone[entry] = from
end

-- Whether anything is backordered in a partition.
function incoming.is_waiting(partition)
  local known = open_book().is_waiting
  if known[partition] == nil then
    known[partition] = call('EXISTS', tags[partition] .. 'waiting') == 1
  end
  return known[partition]
end

-- Changes what is promised of a receipt, without a row.
local function change_pegged(receipt, by)
  receipt.pegged = receipt.pegged + by
  if receipt.pegged < 0 then
    broken('fewer units are pegged than records say, of ' .. receipt.sku .. ' at ' .. receipt.location, receipt.id)
  end
  if receipt.id == '' then
    open_book().waiting[#book.waiting + 1] = { receipt.partition, receipt.sku, by }
    if by > 0 then
      book.is_waiting[receipt.partition] = true
    end
  end
end

-- What is known of a broken promise of a leg: its text, or false where it is not broken.
function incoming.broken_at(partition, leg)
  local known = open_book().broken
  known[partition] = known[partition] or {}
  if known[partition][leg] == nil then
    known[partition][leg] = call('HGET', tags[partition] .. 'broken', leg)
  end
  return known[partition][leg]
end

local function set_broken(partition, leg, text)
  open_book().broken[partition] = book.broken[partition] or {}
  book.broken[partition][leg] = text
  book.broken_list[#book.broken_list + 1] = { partition, leg }
end

-- Notes that a promise is broken, and writes its row.
function incoming.break_promise(record, line, location, leg, receipt_id, reason, due_day)
  local partition = line.partition
  local text = text_of(record.home) .. '\t' .. record.id .. '\t' .. line[1] .. '\t' .. line.sku .. '\t' .. location
    .. '\t' .. receipt_id .. '\t' .. reason .. '\t' .. text_of(due_day) .. '\t' .. now_text
  local rows = rows_in(partition)
  rows[#rows + 1] = 'B\t' .. leg .. '\t' .. text .. '\t\n'
  set_broken(partition, leg, text)
end

-- A promise that was broken is kept again, or its units are promised to nobody any more.
function incoming.mend_promise(partition, leg)
  local text = incoming.broken_at(partition, leg)
  if text then
    local head, rest = match(text, '^([^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t)[^\t]*(\t.*)$')
    if not head then
      broken('not a broken promise', text)
    end
    local rows = rows_in(partition)
    rows[#rows + 1] = 'B\t' .. leg .. '\t' .. head .. rest .. '\t\n'
    set_broken(partition, leg, false)
  end
end

-- The entry of an allocation in its queue.
local function queue_entry(record, leg)
  return text_of(record.home) .. '\t' .. record.id .. '\t' .. leg
end

-- Promises units of a receipt to a new allocation, at the end of the queue.
function incoming.peg(receipt, record, leg, units, cause)
  change_pegged(receipt, units)
  incoming.changed(receipt, cause)
  local queue = incoming.queue_of(receipt)
  queue.added[#queue.added + 1] = queue_entry(record, leg)
end

-- Ends the promise of units to an allocation that has `left` then; `from` as in drop_queued.
function incoming.unpeg(receipt, record, leg, units, left, cause, from)
  change_pegged(receipt, -units)
  incoming.changed(receipt, cause)
  if left == 0 then
    incoming.drop_queued(incoming.queue_of(receipt), queue_entry(record, leg), from)
    incoming.mend_promise(receipt.partition, leg)
  end
end

-- The receipt of an allocation that is not on hand, by its source.
function incoming.of_source(sku, partition, location, source)
  local receipt = incoming.find(sku, partition, location, (receipt_in(source)))
  if not receipt then
    broken('no receipt of a promise for ' .. sku .. ' at ' .. location, source)
  end
  return receipt
end

local function write_queue(queue)
  if queue.receipt.pegged == 0 then
    call('DEL', queue.key)
    return
  end
  local added, is_new = {}, {}
  for i = 1, #queue.added do
    local entry = queue.added[i]
    is_new[entry] = true
    if not queue.gone[entry] then
      added[#added + 1] = entry
    end
  end
  for entry, from in pairs(queue.gone) do
    if not is_new[entry] then
      call('LREM', queue.key, from, entry)
    end
  end
  append(queue.key, added)
end

writers[#writers + 1] = function()
  if not book then
    return
  end
  for i = 1, #book.changed do
    local receipt = book.changed[i]
    local key, field = incoming_key(receipt.sku, receipt.partition), receipt.location .. '\t' .. receipt.id
    if receipt.quantity == 0 and receipt.pegged == 0 then
      call('HDEL', key, field)
    else
      call('HSET', key, field, text_of(receipt.quantity > 0 and receipt.day or 0) .. ',' .. text_of(receipt.quantity)
        .. ',' .. text_of(receipt.pegged) .. ',' .. receipt.revision .. (receipt.from == '' and '' or ',' .. receipt.from))
    end
  end
  for i = 1, #book.queue_list do
    write_queue(book.queue_list[i])
  end
  for i = 1, #book.waiting do
    local change = book.waiting[i]
    local key = tags[change[1]] .. 'waiting'
    if call('HINCRBY', key, change[2], text_of(change[3])) == 0 then
      call('HDEL', key, change[2])
    end
  end
  for i = 1, #book.broken_list do
    local partition, leg = book.broken_list[i][1], book.broken_list[i][2]
    local text = book.broken[partition][leg]
    if text then
      call('HSET', tags[partition] .. 'broken', leg, text)
    else
      call('HDEL', tags[partition] .. 'broken', leg)
    end
  end
end
end
