// Command caddy is Caddy with its standard modules and this one.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the usual modules

	_ "github.com/sockudo/caddy-sockudo" // this module
)

func main() { caddycmd.Main() }
