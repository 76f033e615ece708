package sockudo

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// parseArgs reads a switch or the name of the driver, which may stand before the block as
// it does with history.
func (c *VersionsConfig) parseArgs(d *caddyfile.Dispenser) (known bool, err error) {
	word, args := d.Val(), d.RemainingArgs()
	if len(args) == 0 {
		return false, nil
	}
	opened, err := openBlock(d, func() error { return parseBody(d, c) })
	if err != nil {
		return true, err
	}
	_, err = parseSwitch(args[0])
	switch isSwitch := err == nil; {
	case len(args) > 1:
		return true, d.Errf("%s takes on, off or the name of one driver, not %d arguments", word, len(args))
	case isSwitch && opened:
		return true, d.Errf("%s takes on, off or a block, and no more than that", word)
	case isSwitch:
		c.Enabled = Switch(args[0])
	case c.Driver != "":
		return true, d.Errf("driver is written twice: %s and %s", args[0], c.Driver)
	default:
		c.Driver = args[0]
	}
	return true, nil
}
