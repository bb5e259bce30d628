/* SPDX-License-Identifier: GPL-2.0 */
/* Intel 8042 keyboard controller with keyboard and mouse. */
#include "chip/i8042.h"

#include <keel/macros.h>

#include "core/string.h"


enum i8042_status {
	STATUS_OBF = 1 << 0,
	STATUS_SYSTEM = 1 << 2,
	STATUS_COMMAND = 1 << 3,
	STATUS_UNLOCKED = 1 << 4,
	STATUS_AUX = 1 << 5,
};

enum i8042_command_byte {
	BYTE_INT = 1 << 0,
	BYTE_AUX_INT = 1 << 1,
	BYTE_SYSTEM = 1 << 2,
	BYTE_DISABLE = 1 << 4,
	BYTE_AUX_DISABLE = 1 << 5,
	BYTE_TRANSLATE = 1 << 6,
};

enum i8042_output_port {
	PORT_NOT_RESET = 1 << 0,
	PORT_A20 = 1 << 1,
	PORT_IRQ1 = 1 << 4,
	PORT_IRQ12 = 1 << 5,
	PORT_IDLE = 0xc0,		/* clock and data of the keyboard */
	PORT_STORED = 0xcf,
};

enum i8042_command {
	CMD_READ_RAM = 0x20,
	CMD_WRITE_RAM = 0x60,
	CMD_RAM_INDEX = 0x1f,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KEYBOARD_TEST = 0xab,
	CMD_DISABLE = 0xad,
	CMD_ENABLE = 0xae,
	CMD_READ_INPUT_PORT = 0xc0,
	CMD_READ_OUTPUT_PORT = 0xd0,
	CMD_WRITE_OUTPUT_PORT = 0xd1,
	CMD_WRITE_OUTPUT_BUFFER = 0xd2,
	CMD_WRITE_AUX_BUFFER = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_A20_OFF = 0xdd,
	CMD_A20_ON = 0xdf,
	CMD_PULSE = 0xf0,		/* the low bits that are 0 are pulsed */

	SELF_TEST_PASSED = 0x55,
	PORT_TEST_PASSED = 0x00,
	INPUT_PORT = 0xb0,		/* not locked, colour display, no jumper */
};

/* Bytes of both devices, then the keyboard's, then the mouse's. */
enum ps2_byte {
	PS2_ACK = 0xfa,
	PS2_SELF_TEST_PASSED = 0xaa,
	PS2_REFUSED = 0xfe,
	PS2_IDENTIFY = 0xf2,
	PS2_SET_RATE = 0xf3,
	PS2_ENABLE = 0xf4,
	PS2_DISABLE = 0xf5,
	PS2_DEFAULTS = 0xf6,
	PS2_RESEND = 0xfe,
	PS2_RESET = 0xff,

	KBD_SET_LEDS = 0xed,
	KBD_ECHO = 0xee,
	KBD_SCAN_SET = 0xf0,
	KBD_SET3_ALL_FIRST = 0xf7,	/* to 0xfa: key types of set 3, all keys */
	KBD_SET3_ALL_LAST = 0xfa,
	KBD_SET3_KEY_FIRST = 0xfb,	/* to 0xfd: of one key */
	KBD_SET3_KEY_LAST = 0xfd,
	KBD_ID_FIRST = 0xab,
	KBD_ID_SECOND = 0x83,
	KBD_BREAK = 0xf0,
	KBD_OVERRUN_SET1 = 0xff,
	KBD_OVERRUN_SET2 = 0x00,
	KBD_DEFAULT_TYPEMATIC = 0x2b,	/* 10.9 characters a second after half a second */

	MOUSE_SCALING_1 = 0xe6,
	MOUSE_SCALING_2 = 0xe7,
	MOUSE_SET_RESOLUTION = 0xe8,
	MOUSE_STATUS = 0xe9,
	MOUSE_STREAM = 0xea,
	MOUSE_READ = 0xeb,
	MOUSE_WRAP_OFF = 0xec,
	MOUSE_WRAP_ON = 0xee,
	MOUSE_REMOTE = 0xf0,
	MOUSE_ID = 0x00,
	MOUSE_IS_REMOTE = 1 << 6,
	MOUSE_IS_ENABLED = 1 << 5,
	MOUSE_IS_2_TO_1 = 1 << 4,
	MOUSE_NO_MOTION = 0x08,		/* first byte of a packet: bit 3 is always set */
	MOUSE_DEFAULT_RESOLUTION = 2,	/* 4 counts a millimetre */
	MOUSE_DEFAULT_RATE = 100,
};

/* Set 2 to set 1: Microsoft, Keyboard Scan Code Specification. Codes past the end stay as they are. */
static const uint8_t set1_codes[] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
	0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
	0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
	0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
	0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
	0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
	0x80, 0x81, 0x82, 0x41, 0x54,
};
#define SET1_BREAK	0x80

static const struct state_field device_fields[] = {
	STATE_ARRAY(struct i8042_device, answer),
	STATE_FIELD_MOST(struct i8042_device, answer_count, I8042_ANSWER),
	STATE_FIELD(struct i8042_device, argument_of),
	STATE_FIELD(struct i8042_device, last),
	STATE_FLAG(struct i8042_device, enabled),
};

static const struct state_field i8042_fields[] = {
	STATE_STRUCT(struct i8042_state, keyboard, device_fields),
	STATE_STRUCT(struct i8042_state, mouse, device_fields),
	STATE_ARRAY(struct i8042_state, keys),
	STATE_FIELD_MOST(struct i8042_state, keys_first, I8042_KEYS - 1),
	STATE_FIELD_MOST(struct i8042_state, keys_count, I8042_KEYS),
	STATE_FIELD_MOST(struct i8042_state, scan_set, 2),
	STATE_FIELD(struct i8042_state, leds),
	STATE_FIELD(struct i8042_state, typematic),
	STATE_FIELD(struct i8042_state, mouse_resolution),
	STATE_FIELD(struct i8042_state, mouse_rate),
	STATE_FIELD(struct i8042_state, mouse_mode),
	STATE_FLAG(struct i8042_state, mouse_wrap),
	STATE_FLAG(struct i8042_state, key_prefix),
	STATE_FLAG(struct i8042_state, break_prefix),
	STATE_ARRAY(struct i8042_state, ram),
	STATE_FIELD(struct i8042_state, status),
	STATE_FIELD(struct i8042_state, output_port),
	STATE_FIELD(struct i8042_state, data),
	STATE_FIELD(struct i8042_state, argument_of),
};

const struct state_table i8042_state_table = {
	.name = "i8042",
	.version = 1,
	.fields = i8042_fields,
	.count = ARRAY_SIZE(i8042_fields),
};

static void update(struct i8042 *chip)
{
	const struct i8042_state *s = &chip->s;
	bool full = s->status & STATUS_OBF, aux = s->status & STATUS_AUX;

	line_set(&chip->irq1, full && !aux && (s->ram[0] & BYTE_INT));
	line_set(&chip->irq12, full && aux && (s->ram[0] & BYTE_AUX_INT));
}

/* Fills the output buffer. A byte that was not read is lost, as with the real part. */
static void put_data(struct i8042 *chip, uint8_t byte, bool aux)
{
	chip->s.data = byte;
	chip->s.status &= ~STATUS_AUX;
	chip->s.status |= STATUS_OBF | (aux ? STATUS_AUX : 0);
}

static uint8_t set1_code(uint8_t code)
{
	return code < sizeof(set1_codes) ? set1_codes[code] : code;
}

/* One byte on its way from set 2 to set 1. False: it was a break prefix, which goes into the next byte. */
static bool translate(uint8_t *prefix, uint8_t *byte)
{
	uint8_t release = *prefix ? SET1_BREAK : 0;

	*prefix = *byte == KBD_BREAK;
	if (*byte == KBD_BREAK)
		return false;
	*byte = set1_code(*byte) | release;
	return true;
}

static bool take_answer(struct i8042_device *device, uint8_t *byte)
{
	if (!device->answer_count)
		return false;
	*byte = device->answer[0];
	device->answer_count--;
	memmove(device->answer, device->answer + 1, sizeof(device->answer) - 1);
	device->last = *byte;
	return true;
}

static bool take_key(struct i8042 *chip, uint8_t *byte)
{
	struct i8042_state *s = &chip->s;

	if (!s->keys_count)
		return false;
	*byte = s->keys[s->keys_first % I8042_KEYS];
	s->keys_first = (s->keys_first + 1) % I8042_KEYS;
	s->keys_count--;
	s->keyboard.last = *byte;
	return true;
}

static bool pump_keyboard(struct i8042 *chip)
{
	uint8_t byte;

	while (take_answer(&chip->s.keyboard, &byte) || take_key(chip, &byte)) {
		if ((chip->s.ram[0] & BYTE_TRANSLATE) && !translate(&chip->s.break_prefix, &byte))
			continue;
		put_data(chip, byte, false);
		return true;
	}
	return false;
}

/* An empty output buffer takes the next byte of a device that may send. */
static void pump(struct i8042 *chip)
{
	uint8_t byte;

	if (!(chip->s.status & STATUS_OBF) &&
	    ((chip->s.ram[0] & BYTE_DISABLE) || !pump_keyboard(chip)) &&
	    !(chip->s.ram[0] & BYTE_AUX_DISABLE) && take_answer(&chip->s.mouse, &byte))
		put_data(chip, byte, true);
	update(chip);
}

static void answer(struct i8042_device *device, uint8_t byte)
{
	if (device->answer_count < I8042_ANSWER)
		device->answer[device->answer_count++] = byte;
}

static void keyboard_defaults(struct i8042 *chip)
{
	chip->s.keys_count = 0;
	chip->s.break_prefix = 0;
	chip->s.key_prefix = 0;
	chip->s.scan_set = 2;
	chip->s.typematic = KBD_DEFAULT_TYPEMATIC;
}

static void keyboard_argument(struct i8042 *chip, uint8_t command, uint8_t value)
{
	struct i8042_device *keyboard = &chip->s.keyboard;

	if (command == KBD_SCAN_SET && value > 2) {
		answer(keyboard, PS2_REFUSED);
		return;
	}
	answer(keyboard, PS2_ACK);
	if (command == KBD_SET_LEDS)
		chip->s.leds = value;
	else if (command == PS2_SET_RATE)
		chip->s.typematic = value;
	else if (command == KBD_SCAN_SET && value)
		chip->s.scan_set = value;
	else if (command == KBD_SCAN_SET)
		answer(keyboard, chip->s.scan_set);
}

static void keyboard_reset(struct i8042 *chip)
{
	keyboard_defaults(chip);
	chip->s.leds = 0;
	chip->s.keyboard.enabled = 1;
	answer(&chip->s.keyboard, PS2_SELF_TEST_PASSED);
}

static void keyboard_command(struct i8042 *chip, uint8_t command)
{
	struct i8042_device *keyboard = &chip->s.keyboard;

	switch (command) {
	case KBD_ECHO:
		answer(keyboard, KBD_ECHO);
		return;
	case PS2_RESEND:
		answer(keyboard, keyboard->last);
		return;
	case KBD_SET_LEDS:
	case KBD_SCAN_SET:
	case PS2_SET_RATE:
	case KBD_SET3_KEY_FIRST ... KBD_SET3_KEY_LAST:
		keyboard->argument_of = command;
		break;
	case KBD_SET3_ALL_FIRST ... KBD_SET3_ALL_LAST:
	case PS2_IDENTIFY:
	case PS2_RESET:
		break;
	case PS2_ENABLE:
		chip->s.keys_count = 0;
		keyboard->enabled = 1;
		break;
	case PS2_DISABLE:
	case PS2_DEFAULTS:
		keyboard_defaults(chip);
		keyboard->enabled = command == PS2_DEFAULTS;
		break;
	default:
		answer(keyboard, PS2_REFUSED);
		return;
	}
	answer(keyboard, PS2_ACK);
	if (command == PS2_RESET) {
		keyboard_reset(chip);
	} else if (command == PS2_IDENTIFY) {
		answer(keyboard, KBD_ID_FIRST);
		answer(keyboard, KBD_ID_SECOND);
	}
}

static void write_keyboard(struct i8042 *chip, uint8_t value)
{
	uint8_t argument_of = chip->s.keyboard.argument_of;

	/* A new byte from the host ends what was being sent. Clocking it out enables the interface. */
	chip->s.keyboard.answer_count = 0;
	chip->s.keyboard.argument_of = 0;
	chip->s.ram[0] &= ~BYTE_DISABLE;
	/* Arguments are below the commands; a command in their place cancels. */
	if (argument_of && value < KBD_SET_LEDS)
		keyboard_argument(chip, argument_of, value);
	else
		keyboard_command(chip, value);
}

static void mouse_defaults(struct i8042 *chip)
{
	chip->s.mouse.enabled = 0;
	chip->s.mouse_resolution = MOUSE_DEFAULT_RESOLUTION;
	chip->s.mouse_rate = MOUSE_DEFAULT_RATE;
	chip->s.mouse_mode = 0;
	chip->s.mouse_wrap = 0;
}

static void mouse_report_status(struct i8042 *chip)
{
	struct i8042_device *mouse = &chip->s.mouse;

	answer(mouse, chip->s.mouse_mode | (mouse->enabled ? MOUSE_IS_ENABLED : 0));
	answer(mouse, chip->s.mouse_resolution);
	answer(mouse, chip->s.mouse_rate);
}

static void mouse_report_motion(struct i8042 *chip)
{
	answer(&chip->s.mouse, MOUSE_NO_MOTION);
	answer(&chip->s.mouse, 0);
	answer(&chip->s.mouse, 0);
}

/* What a known command does after its acknowledgement. Returns false for one that is unknown. */
static bool mouse_act(struct i8042 *chip, uint8_t command)
{
	struct i8042_state *s = &chip->s;

	switch (command) {
	case MOUSE_SCALING_1:
		s->mouse_mode &= ~MOUSE_IS_2_TO_1;
		return true;
	case MOUSE_SCALING_2:
		s->mouse_mode |= MOUSE_IS_2_TO_1;
		return true;
	case MOUSE_STREAM:
		s->mouse_mode &= ~MOUSE_IS_REMOTE;
		return true;
	case MOUSE_REMOTE:
		s->mouse_mode |= MOUSE_IS_REMOTE;
		return true;
	case MOUSE_SET_RESOLUTION:
	case PS2_SET_RATE:
		s->mouse.argument_of = command;
		return true;
	case MOUSE_WRAP_OFF:
	case MOUSE_WRAP_ON:
		s->mouse_wrap = command == MOUSE_WRAP_ON;
		return true;
	case PS2_ENABLE:
	case PS2_DISABLE:
		s->mouse.enabled = command == PS2_ENABLE;
		return true;
	case MOUSE_STATUS:
	case MOUSE_READ:
	case PS2_IDENTIFY:
		return true;
	case PS2_DEFAULTS:
	case PS2_RESET:
		mouse_defaults(chip);
		return true;
	default:
		return false;
	}
}

static void mouse_command(struct i8042 *chip, uint8_t command)
{
	struct i8042_device *mouse = &chip->s.mouse;

	if (command == PS2_RESEND) {
		answer(mouse, mouse->last);
		return;
	}
	if (!mouse_act(chip, command)) {
		answer(mouse, PS2_REFUSED);
		return;
	}
	answer(mouse, PS2_ACK);
	if (command == MOUSE_STATUS) {
		mouse_report_status(chip);
	} else if (command == MOUSE_READ) {
		mouse_report_motion(chip);
	} else if (command == PS2_IDENTIFY) {
		answer(mouse, MOUSE_ID);
	} else if (command == PS2_RESET) {
		answer(mouse, PS2_SELF_TEST_PASSED);
		answer(mouse, MOUSE_ID);
	}
}

static void write_mouse(struct i8042 *chip, uint8_t value)
{
	struct i8042_device *mouse = &chip->s.mouse;
	uint8_t argument_of = mouse->argument_of;

	mouse->answer_count = 0;
	mouse->argument_of = 0;
	chip->s.ram[0] &= ~BYTE_AUX_DISABLE;
	if (argument_of && value < MOUSE_SCALING_1) {
		if (argument_of == MOUSE_SET_RESOLUTION)
			chip->s.mouse_resolution = value;
		else
			chip->s.mouse_rate = value;
		answer(mouse, PS2_ACK);
	} else if (chip->s.mouse_wrap && value != PS2_RESET && value != MOUSE_WRAP_OFF) {
		answer(mouse, value);
	} else {
		mouse_command(chip, value);
	}
}

static void write_output_port(struct i8042 *chip, uint8_t value)
{
	chip->s.output_port = value & PORT_STORED;
	line_set(&chip->reset, !(value & PORT_NOT_RESET));
}

static uint8_t read_output_port(const struct i8042 *chip)
{
	uint8_t value = chip->s.output_port;

	if (chip->s.status & STATUS_OBF)
		value |= chip->s.status & STATUS_AUX ? PORT_IRQ12 : PORT_IRQ1;
	return value;
}

static void write_ram(struct i8042 *chip, unsigned int index, uint8_t value)
{
	chip->s.ram[index] = value;
	if (index)
		return;
	chip->s.status &= ~STATUS_SYSTEM;
	chip->s.status |= value & BYTE_SYSTEM ? STATUS_SYSTEM : 0;
}

static void pulse_output_port(struct i8042 *chip, uint8_t command)
{
	if (command & PORT_NOT_RESET)
		return;
	line_set(&chip->reset, true);
	line_set(&chip->reset, false);
}

static void controller_command(struct i8042 *chip, uint8_t command)
{
	struct i8042_state *s = &chip->s;

	switch (command) {
	case CMD_READ_RAM ... CMD_READ_RAM + CMD_RAM_INDEX:
		put_data(chip, s->ram[command & CMD_RAM_INDEX], false);
		break;
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + CMD_RAM_INDEX:
	case CMD_WRITE_OUTPUT_PORT ... CMD_WRITE_AUX:
		s->argument_of = command;
		break;
	case CMD_AUX_DISABLE:
		s->ram[0] |= BYTE_AUX_DISABLE;
		break;
	case CMD_AUX_ENABLE:
		s->ram[0] &= ~BYTE_AUX_DISABLE;
		break;
	case CMD_AUX_TEST:
	case CMD_KEYBOARD_TEST:
		put_data(chip, PORT_TEST_PASSED, false);
		break;
	case CMD_SELF_TEST:
		write_ram(chip, 0, s->ram[0] | BYTE_SYSTEM);
		put_data(chip, SELF_TEST_PASSED, false);
		break;
	case CMD_DISABLE:
		s->ram[0] |= BYTE_DISABLE;
		break;
	case CMD_ENABLE:
		s->ram[0] &= ~BYTE_DISABLE;
		break;
	case CMD_READ_INPUT_PORT:
		put_data(chip, INPUT_PORT, false);
		break;
	case CMD_READ_OUTPUT_PORT:
		put_data(chip, read_output_port(chip), false);
		break;
	case CMD_A20_OFF:
		s->output_port &= ~PORT_A20;
		break;
	case CMD_A20_ON:
		s->output_port |= PORT_A20;
		break;
	case CMD_PULSE ... 0xff:
		pulse_output_port(chip, command);
		break;
	default:
		/* The part has no answer to an unknown command. */
		break;
	}
}

static void write_data(struct i8042 *chip, uint8_t value)
{
	uint8_t command = chip->s.argument_of;

	chip->s.argument_of = 0;
	switch (command) {
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + CMD_RAM_INDEX:
		write_ram(chip, command & CMD_RAM_INDEX, value);
		break;
	case CMD_WRITE_OUTPUT_PORT:
		write_output_port(chip, value);
		break;
	case CMD_WRITE_OUTPUT_BUFFER:
	case CMD_WRITE_AUX_BUFFER:
		put_data(chip, value, command == CMD_WRITE_AUX_BUFFER);
		break;
	case CMD_WRITE_AUX:
		write_mouse(chip, value);
		break;
	default:
		write_keyboard(chip, value);
		break;
	}
}

static void init(void *device)
{
	struct i8042 *chip = device;

	memset(&chip->s, 0, sizeof(chip->s));
	chip->s.status = STATUS_UNLOCKED;
	chip->s.output_port = PORT_NOT_RESET | PORT_A20 | PORT_IDLE;
	chip->s.ram[0] = BYTE_DISABLE | BYTE_AUX_DISABLE | BYTE_TRANSLATE;
	chip->s.keyboard.enabled = 1;
	keyboard_defaults(chip);
	mouse_defaults(chip);
}

static uint64_t data_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct i8042 *chip = device;
	uint8_t data = chip->s.data;

	(void)offset;
	(void)bytes;
	/* The lines fall before the next byte moves up: each byte is an edge. */
	chip->s.status &= ~(STATUS_OBF | STATUS_AUX);
	update(chip);
	pump(chip);
	return data;
}

static void data_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct i8042 *chip = device;

	(void)offset;
	(void)bytes;
	chip->s.status &= ~STATUS_COMMAND;
	write_data(chip, (uint8_t)value);
	pump(chip);
}

static uint64_t status_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct i8042 *chip = device;

	(void)offset;
	(void)bytes;
	return chip->s.status;
}

static void command_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct i8042 *chip = device;

	(void)offset;
	(void)bytes;
	chip->s.status |= STATUS_COMMAND;
	chip->s.argument_of = 0;
	controller_command(chip, (uint8_t)value);
	pump(chip);
}

void i8042_key(struct i8042 *chip, uint8_t scancode)
{
	struct i8042_state *s = &chip->s;
	uint8_t last = (s->keys_first + I8042_KEYS - 1) % I8042_KEYS;

	if (!s->keyboard.enabled)
		return;
	/* The keyboard's own translation is the same as the controller's. */
	if (s->scan_set == 1 && !translate(&s->key_prefix, &scancode))
		return;
	if (s->keys_count < I8042_KEYS)
		s->keys[(s->keys_first + s->keys_count++) % I8042_KEYS] = scancode;
	else
		s->keys[last] = s->scan_set == 1 ? KBD_OVERRUN_SET1 : KBD_OVERRUN_SET2;
	pump(chip);
}

/* A machine whose reset line is held down has ended. */
static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct i8042_state *s = states[0];

	(void)device;
	(void)now;
	if (!s->scan_set)
		return "scan_set";
	if (s->mouse_mode & ~(MOUSE_IS_REMOTE | MOUSE_IS_2_TO_1))
		return "mouse_mode";
	if (s->status & ~(STATUS_OBF | STATUS_SYSTEM | STATUS_COMMAND | STATUS_UNLOCKED | STATUS_AUX) ||
	    !(s->status & STATUS_UNLOCKED))
		return "status";
	return s->output_port & ~PORT_STORED || !(s->output_port & PORT_NOT_RESET) ? "output_port" : NULL;
}

static const struct device_part parts[] = {
	DEVICE_PART(i8042_state_table, 0, struct i8042, s),
};

const struct device_ops i8042_device = { .init = init, DEVICE_PARTS(parts), .valid = valid };
const struct io_ops i8042_data_io = { .read = data_read, .write = data_write, .widest = 1 };
const struct io_ops i8042_command_io = { .read = status_read, .write = command_write, .widest = 1 };
