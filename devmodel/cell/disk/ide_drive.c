// SPDX-License-Identifier: GPL-2.0
/* ATA and ATAPI drives: the course of a command between guest and host. */
#include "disk/ide_drive.h"

#include <keel/macros.h>

#include "disk/ata.h"
#include "disk/atapi.h"

#define CD_SECTOR		2048u

static const struct state_field drive_fields[] = {
	STATE_ARRAY(struct ide_drive_state, task),
	STATE_ARRAY(struct ide_drive_state, previous),
	STATE_FIELD(struct ide_drive_state, status),
	STATE_FIELD(struct ide_drive_state, error),
	STATE_FLAG(struct ide_drive_state, interrupt),
	STATE_FIELD_MOST(struct ide_drive_state, flow, IDE_FLOWS - 1),
	STATE_FLAG(struct ide_drive_state, through),
	STATE_FIELD_MOST(struct ide_drive_state, cursor, IDE_BUFFER_BYTES),
	STATE_FIELD_MOST(struct ide_drive_state, readable, IDE_BUFFER_BYTES),
	STATE_FIELD_MOST(struct ide_drive_state, writable, IDE_BUFFER_BYTES),
	STATE_FIELD_MOST(struct ide_drive_state, block, IDE_BUFFER_BYTES),
	STATE_FIELD(struct ide_drive_state, position),
	STATE_FIELD(struct ide_drive_state, left),
	STATE_FIELD_MOST(struct ide_drive_state, multiple, IDE_BLOCK_SECTORS),
	STATE_FIELD(struct ide_drive_state, heads),
	STATE_FIELD(struct ide_drive_state, sectors),
	STATE_FIELD(struct ide_drive_state, transfer_mode),
	STATE_FLAG(struct ide_drive_state, write_cache),
	STATE_FLAG(struct ide_drive_state, standby),
	STATE_FLAG(struct ide_drive_state, packet),
	STATE_FIELD(struct ide_drive_state, sense_key),
	STATE_FIELD(struct ide_drive_state, sense_code),
	STATE_FIELD(struct ide_drive_state, sense_qualifier),
	STATE_FLAG(struct ide_drive_state, attention),
	STATE_FIELD(struct ide_drive_state, media_event),
	STATE_FLAG(struct ide_drive_state, tray_open),
	STATE_FLAG(struct ide_drive_state, locked),
	STATE_ARRAY(struct ide_drive_state, buffer),
};

const struct state_table ide_drive_state_table = {
	"ide-drive", 1, drive_fields, ARRAY_SIZE(drive_fields)
};

static uint32_t unit(const struct ide_drive *d)
{
	return d->kind == KEEL_DEVICE_IDE_CDROM ? CD_SECTOR : IDE_SECTOR;
}

static uint32_t least(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

void ide_drive_interrupt(struct ide_drive *d, bool level)
{
	d->s.interrupt = level;
	line_set(&d->irq, level);
}

/* Nobody waits for what is in flight any more. */
static void give_up_requests(struct ide_drive *d)
{
	d->ahead = 0;
	d->stale = d->requests != 0;
}

static void come_to_rest(struct ide_drive *d)
{
	d->s.flow = IDE_IDLE;
	d->s.through = false;
	d->s.cursor = 0;
	d->s.readable = 0;
	d->s.writable = 0;
	d->s.position = 0;
	d->s.left = 0;
	d->window_bytes = 0;
	give_up_requests(d);
}

/* ATA/ATAPI-6, 9.12. */
void ide_drive_signature(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;
	bool cdrom = d->kind == KEEL_DEVICE_IDE_CDROM;

	s->task[IDE_COUNT] = 1;
	s->task[IDE_LBA_LOW] = 1;
	s->task[IDE_LBA_MID] = cdrom ? 0x14 : 0;
	s->task[IDE_LBA_HIGH] = cdrom ? 0xeb : 0;
	s->task[IDE_DEVICE] = 0;
}

void ide_drive_reset(struct ide_drive *d)
{
	come_to_rest(d);
	d->s.packet = false;
	d->s.standby = false;
	memset(d->s.previous, 0, sizeof(d->s.previous));
	ide_drive_signature(d);
	d->s.error = IDE_DIAGNOSTIC_PASSED;
	d->s.status = d->kind == KEEL_DEVICE_IDE_CDROM ? 0 : IDE_STATUS_READY;
	ide_drive_interrupt(d, false);
}

void ide_drive_init(struct ide_drive *d)
{
	memset(&d->s, 0, sizeof(d->s));
	d->s.write_cache = true;
	if (d->kind == KEEL_DEVICE_IDE_CDROM)
		atapi_power_on(d);
	else
		ata_power_on(d);
	ide_drive_reset(d);
}

void ide_drive_done(struct ide_drive *d)
{
	come_to_rest(d);
	if (d->s.packet)
		d->s.task[IDE_COUNT] = IDE_REASON_IO | IDE_REASON_CD;
	d->s.error = 0;
	d->s.status = IDE_STATUS_READY;
	ide_drive_interrupt(d, true);
}

void ide_drive_fail(struct ide_drive *d, uint8_t error)
{
	come_to_rest(d);
	if (d->s.packet)
		d->s.task[IDE_COUNT] = IDE_REASON_IO | IDE_REASON_CD;
	d->s.error = error;
	d->s.status = IDE_STATUS_READY | IDE_STATUS_ERR;
	ide_drive_interrupt(d, true);
}

static void host_failed(struct ide_drive *d)
{
	if (d->kind == KEEL_DEVICE_IDE_CDROM)
		atapi_host_failed(d);
	else
		ata_host_failed(d);
}

/* The bus master met what is not memory. */
static void bus_failed(struct ide_drive *d)
{
	if (d->kind == KEEL_DEVICE_IDE_CDROM)
		atapi_bus_failed(d);
	else
		ide_drive_fail(d, IDE_ERROR_ABRT);
}

/* The chunk of the next request. */
static unsigned int next_chunk(const struct ide_drive *d)
{
	return (d->first + d->requests) % KEEL_BLOCK_CHUNKS;
}

static uint8_t *data_of(const struct ide_drive *d, unsigned int chunk)
{
	return d->bounce + chunk * KEEL_BOUNCE_BYTES;
}

/* There is a chunk for it. False: it was not taken, and the command has failed. */
static bool request(struct ide_drive *d, enum keel_block_op op, uint64_t offset, uint32_t bytes)
{
	unsigned int chunk = next_chunk(d);

	d->s.status = IDE_STATUS_BSY | IDE_STATUS_DRDY;
	d->window_bytes = 0;
	d->request[chunk] = (struct ide_request){ .bytes = bytes };
	d->requests++;
	d->ahead += bytes;
	if (d->host->submit(d->host->owner, d->number, chunk, op, offset, bytes))
		return true;
	d->requests--;
	host_failed(d);
	return false;
}

/* Shows the guest a block of 'bytes' bytes of the buffer, from the cursor on. */
static void show_block(struct ide_drive *d, uint32_t bytes)
{
	struct ide_drive_state *s = &d->s;

	s->left -= bytes;
	s->readable = s->cursor + ((bytes + 1) & ~1u);
	s->status = IDE_STATUS_READY | IDE_STATUS_DRQ;
	if (s->packet) {
		s->task[IDE_COUNT] = IDE_REASON_IO;
		s->task[IDE_LBA_MID] = (uint8_t)bytes;
		s->task[IDE_LBA_HIGH] = (uint8_t)(bytes >> 8);
	}
	ide_drive_interrupt(d, true);
}

/* A PIO data-in command ends when its last block has been read, without a further interrupt (9.5); PACKET has one (9.8). */
static void data_in_done(struct ide_drive *d)
{
	if (d->s.packet) {
		ide_drive_done(d);
		return;
	}
	come_to_rest(d);
	d->s.status = IDE_STATUS_READY;
}

static void step_reply(struct ide_drive *d)
{
	if (d->s.left)
		show_block(d, least(d->s.left, d->s.block));
	else
		data_in_done(d);
}

static void step_reply_dma(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;
	uint32_t n;
	bool moved;

	moved = bmide_to_memory(d->bm, &s->buffer[s->cursor], (uint32_t)s->left, &n);
	s->cursor += n;
	s->left -= n;
	if (!moved)
		bus_failed(d);
	else if (!s->left)
		ide_drive_done(d);
}

/* Fills the read-ahead window, in whole sectors: the guest's blocks need not be. */
static void read_ahead(struct ide_drive *d)
{
	uint32_t skip = (uint32_t)(d->s.position % unit(d));

	d->window = d->s.position - skip;
	request(d, KEEL_BLOCK_READ, d->window, least(d->s.left + skip, KEEL_BOUNCE_BYTES));
}

static void step_read(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;
	uint32_t bytes = least(s->left, s->block);

	if (!bytes) {
		data_in_done(d);
		return;
	}
	if (s->position < d->window || s->position - d->window >= d->window_bytes) {
		read_ahead(d);
		return;
	}
	bytes = least(d->window_bytes - (s->position - d->window), bytes);
	memcpy(s->buffer, d->bounce + (s->position - d->window), bytes);
	s->cursor = 0;
	s->position += bytes;
	show_block(d, bytes);
}

/* Asks the guest for the next block of a write. */
static void ask_block(struct ide_drive *d, bool interrupt)
{
	d->s.cursor = 0;
	d->s.writable = least(d->s.left, d->s.block);
	d->s.status = IDE_STATUS_READY | IDE_STATUS_DRQ;
	if (interrupt)
		ide_drive_interrupt(d, true);
}

static void step_write(struct ide_drive *d)
{
	uint32_t bytes = d->s.cursor;

	memcpy(d->bounce, d->s.buffer, bytes);
	request(d, KEEL_BLOCK_WRITE, d->s.position, bytes);
}

/* How much the next request of a transfer is for; 0: there can be none at the moment. */
static uint32_t next_bytes(const struct ide_drive *d)
{
	return d->requests < KEEL_BLOCK_CHUNKS ? least(d->s.left - d->ahead, KEEL_BOUNCE_BYTES) : 0;
}

static void step_read_dma(struct ide_drive *d)
{
	uint32_t bytes;

	while (bmide_active(d->bm) && (bytes = next_bytes(d)))
		if (!request(d, KEEL_BLOCK_READ, d->s.position + d->ahead, bytes))
			return;
}

static void step_write_dma(struct ide_drive *d)
{
	uint32_t room, bytes;

	while ((room = next_bytes(d))) {
		if (!bmide_from_memory(d->bm, data_of(d, next_chunk(d)), room, &bytes)) {
			bus_failed(d);
			return;
		}
		/* A table that ends within a sector leaves the drive waiting for all of it. */
		bytes -= bytes % unit(d);
		if (!bytes || !request(d, KEEL_BLOCK_WRITE, d->s.position + d->ahead, bytes))
			return;
	}
}

static bool is_dma(const struct ide_drive *d)
{
	return d->s.flow == IDE_READ_DMA || d->s.flow == IDE_WRITE_DMA;
}

void ide_drive_step(struct ide_drive *d)
{
	/* With DRQ at the data port it is the guest's turn. */
	if (d->stale || (d->requests && !is_dma(d)) || d->s.readable || d->s.writable)
		return;
	switch ((enum ide_flow)d->s.flow) {
	case IDE_REPLY:
		step_reply(d);
		break;
	case IDE_REPLY_DMA:
		step_reply_dma(d);
		break;
	case IDE_READ:
		step_read(d);
		break;
	case IDE_READ_DMA:
		step_read_dma(d);
		break;
	case IDE_WRITE:
		step_write(d);
		break;
	case IDE_WRITE_DMA:
		step_write_dma(d);
		break;
	case IDE_VERIFY:
		request(d, KEEL_BLOCK_READ, d->s.position, least(d->s.left, KEEL_BOUNCE_BYTES));
		break;
	case IDE_FLUSH:
		request(d, KEEL_BLOCK_FLUSH, 0, 0);
		break;
	case IDE_IDLE:
	case IDE_PACKET:
	case IDE_FLOWS:
		break;
	}
}

void ide_drive_block_done(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;

	s->readable = 0;
	s->writable = 0;
	/* Until the drive says otherwise. */
	s->status = IDE_STATUS_BSY | IDE_STATUS_DRDY;
	if (s->flow == IDE_PACKET)
		atapi_packet(d);
	else
		ide_drive_step(d);
}

unsigned int ide_drive_data_read_many(struct ide_drive *d, unsigned int bytes, unsigned int count, uint8_t *data)
{
	struct ide_drive_state *s = &d->s;

	if (!s->readable)
		return 0;
	count = least(count, (s->readable - s->cursor) / bytes);
	memcpy(data, &s->buffer[s->cursor], count * bytes);
	s->cursor += count * bytes;
	if (s->cursor == s->readable)
		ide_drive_block_done(d);
	return count;
}

unsigned int ide_drive_data_write_many(struct ide_drive *d, unsigned int bytes, unsigned int count, const uint8_t *data)
{
	struct ide_drive_state *s = &d->s;

	if (!s->writable)
		return 0;
	count = least(count, (s->writable - s->cursor) / bytes);
	memcpy(&s->buffer[s->cursor], data, count * bytes);
	s->cursor += count * bytes;
	if (s->cursor == s->writable)
		ide_drive_block_done(d);
	return count;
}

/* 'bytes' more are done. */
static void advance(struct ide_drive *d, uint32_t bytes)
{
	d->s.position += bytes;
	d->s.left -= bytes;
}

static void write_advanced(struct ide_drive *d)
{
	if (d->s.left && d->s.flow == IDE_WRITE)
		ask_block(d, true);
	else if (d->s.left)
		ide_drive_step(d);
	else if (d->s.through)
		ide_drive_flush(d);
	else
		ide_drive_done(d);
}

static void read_to_memory(struct ide_drive *d, const uint8_t *data, uint32_t asked)
{
	uint32_t bytes;

	if (!bmide_to_memory(d->bm, data, asked, &bytes)) {
		bus_failed(d);
		return;
	}
	bytes -= bytes % unit(d);
	advance(d, bytes);
	if (!d->s.left) {
		ide_drive_done(d);
		return;
	}
	/* The table ended: what comes next on the medium is asked for again when there is another one. */
	if (bytes < asked)
		give_up_requests(d);
	d->s.status = d->ahead ? IDE_STATUS_BSY | IDE_STATUS_DRDY : IDE_STATUS_READY | IDE_STATUS_DRQ;
	ide_drive_step(d);
}

/* The request for so many bytes, at the position, whose chunk has these data. */
static void completed(struct ide_drive *d, const uint8_t *data, uint32_t asked)
{
	switch ((enum ide_flow)d->s.flow) {
	case IDE_READ:
		d->window_bytes = asked;
		ide_drive_step(d);
		break;
	case IDE_READ_DMA:
		read_to_memory(d, data, asked);
		break;
	case IDE_WRITE:
	case IDE_WRITE_DMA:
		advance(d, asked);
		write_advanced(d);
		break;
	case IDE_VERIFY:
		advance(d, asked);
		if (d->s.left)
			ide_drive_step(d);
		else
			ide_drive_done(d);
		break;
	case IDE_FLUSH:
		ide_drive_done(d);
		break;
	case IDE_IDLE:
	case IDE_PACKET:
	case IDE_REPLY:
	case IDE_REPLY_DMA:
	case IDE_FLOWS:
		break;
	}
}

static void take_oldest(struct ide_drive *d)
{
	const struct ide_request request = d->request[d->first];
	const uint8_t *data = data_of(d, d->first);

	d->requests--;
	d->first = d->requests ? (d->first + 1) % KEEL_BLOCK_CHUNKS : 0;
	if (d->stale) {
		d->stale = d->requests != 0;
		ide_drive_step(d);
		return;
	}
	d->ahead -= request.bytes;
	if (request.status)
		host_failed(d);
	else
		completed(d, data, request.bytes);
}

static bool is_in_flight(const struct ide_drive *d, unsigned int chunk)
{
	return chunk < KEEL_BLOCK_CHUNKS && (chunk - d->first) % KEEL_BLOCK_CHUNKS < d->requests && !d->request[chunk].over;
}

void ide_drive_complete(struct ide_drive *d, unsigned int chunk, int32_t status)
{
	if (!is_in_flight(d, chunk))
		return;
	d->request[chunk].over = true;
	d->request[chunk].status = status;
	while (d->requests && d->request[d->first].over)
		take_oldest(d);
}

void ide_drive_reply(struct ide_drive *d, enum ide_flow flow, uint32_t bytes, uint32_t block)
{
	struct ide_drive_state *s = &d->s;

	s->flow = (uint8_t)flow;
	s->cursor = 0;
	s->left = bytes;
	s->block = block;
	if (flow == IDE_REPLY_DMA)
		s->status = IDE_STATUS_READY | IDE_STATUS_DRQ;
	ide_drive_step(d);
}

void ide_drive_transfer(struct ide_drive *d, enum ide_flow flow, uint64_t position, uint64_t bytes, uint32_t block)
{
	struct ide_drive_state *s = &d->s;

	s->flow = (uint8_t)flow;
	s->position = position;
	s->left = bytes;
	s->block = block;
	s->standby = false;
	d->window_bytes = 0;
	if (flow == IDE_WRITE) {
		ask_block(d, false);
		return;
	}
	s->status = IDE_STATUS_BSY | IDE_STATUS_DRDY;
	if (flow == IDE_READ_DMA || flow == IDE_WRITE_DMA)
		s->status = IDE_STATUS_READY | IDE_STATUS_DRQ;
	ide_drive_step(d);
}

void ide_drive_flush(struct ide_drive *d)
{
	d->s.flow = IDE_FLUSH;
	d->s.status = IDE_STATUS_BSY | IDE_STATUS_DRDY;
	ide_drive_step(d);
}

/* A read of a CD-ROM may be of another medium than the one that is there now: the change ends it, or the host, behind its end. */
static uint64_t end_most(const struct ide_drive *d, const struct ide_drive_state *s)
{
	bool read = s->flow == IDE_READ || s->flow == IDE_READ_DMA;

	return read && d->kind == KEEL_DEVICE_IDE_CDROM ? INT64_MAX : d->bytes;
}

/* A transfer between guest and medium is in whole sectors, but for what IDE_READ has already put into the buffer. */
static bool transfer_valid(const struct ide_drive *d, const struct ide_drive_state *s)
{
	uint32_t sector = unit(d);
	uint64_t most = end_most(d, s);

	if (s->left > most || s->position > most - s->left || (s->position + s->left) % sector)
		return false;
	if (s->flow == IDE_READ)
		return true;
	if (s->flow == IDE_WRITE && (s->writable % sector || s->writable > s->left || s->block % sector))
		return false;
	return s->left % sector == 0;
}

/* With nothing in flight it is the guest's turn, at the data port or with the bus master, or nothing goes on. */
static bool flow_valid(const struct ide_drive *d, const struct ide_drive_state *s)
{
	switch ((enum ide_flow)s->flow) {
	case IDE_IDLE:
	case IDE_REPLY_DMA:
	case IDE_READ_DMA:
	case IDE_WRITE_DMA:
		return !s->readable && !s->writable;
	case IDE_PACKET:
		return d->kind == KEEL_DEVICE_IDE_CDROM && s->writable == IDE_PACKET_BYTES && !s->left;
	case IDE_REPLY:
	case IDE_READ:
		return s->readable && !s->writable;
	case IDE_WRITE:
		return s->writable && !s->readable;
	case IDE_VERIFY:
	case IDE_FLUSH:
	case IDE_FLOWS:
		return false;
	}
	return false;
}

/*
 * A drive that waits for the guest asks for data, but for one whose bus master's table has ended before its write. One
 * that is busy with nothing is held in reset.
 */
static bool status_valid(const struct ide_drive_state *s, bool in_reset)
{
	if (s->flow == IDE_WRITE_DMA && s->status == (IDE_STATUS_BSY | IDE_STATUS_DRDY))
		return true;
	if (s->flow != IDE_IDLE)
		return s->status == (IDE_STATUS_READY | IDE_STATUS_DRQ);
	return !(s->status & IDE_STATUS_DRQ) && (in_reset || !(s->status & IDE_STATUS_BSY));
}

/* Everything that indexes the buffer or goes to the host: states come from files. */
static const char *invalid_position(const struct ide_drive *d, const struct ide_drive_state *s)
{
	uint32_t end = s->readable > s->writable ? s->readable : s->writable;
	uint32_t from = end ? end : s->cursor;

	if (from > IDE_BUFFER_BYTES || s->cursor & 1 || (end && s->cursor >= end))
		return "cursor";
	if (end & 1)
		return s->readable ? "readable" : "writable";
	if (s->block > IDE_BUFFER_BYTES || s->block & 1 || (!s->block && s->flow != IDE_IDLE && s->flow != IDE_PACKET))
		return "block";
	if (s->flow == IDE_REPLY || s->flow == IDE_REPLY_DMA)
		return s->left > IDE_BUFFER_BYTES - from ? "left" : NULL;
	return transfer_valid(d, s) ? NULL : "position";
}

const char *ide_drive_invalid(const struct ide_drive *d, const struct ide_drive_state *s, bool in_reset)
{
	if (s->flow >= IDE_FLOWS || !flow_valid(d, s))
		return "flow";
	if (!status_valid(s, in_reset))
		return "status";
	if (s->multiple > IDE_BLOCK_SECTORS)
		return "multiple";
	if (!s->heads)
		return "heads";
	if (!s->sectors)
		return "sectors";
	return invalid_position(d, s);
}
